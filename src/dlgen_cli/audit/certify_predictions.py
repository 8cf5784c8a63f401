"""The certificates of a predictor of which only its losses are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlgen_cli import __version__
from dlgen_cli.bounds.ranges import require_delta, require_nonnegative
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.plan import best_of, equal_share
from dlgen_cli.evidence.predictions import (
    Losses,
    Part,
    bound_losses,
    given_losses,
    read_predictions,
)
from dlgen_cli.records import Report


def certify_predictions(path: Path, delta: float, nats: float | None) -> Report:
    """Certify a predictor by a table of its predictions or losses.

    Args:
        path: see `dlgen_cli.evidence.predictions.read_predictions`.
        delta: failure probability in (0, 1), shared by the holdout and the sample.
        nats: what the choice of the predictor costs on the sample; None where there is no sample.

    Raises:
        DataError: the table cannot be read.
        UsageError: a number is out of its range, or what is given does not fit the table.
    """
    parts = read_predictions(path, "holdout" if nats is None else "sample")
    return _certify(parts, delta, nats, {"predictions": str(path)})


def certify_errors(errors: int, examples: int, delta: float, nats: float | None) -> Report:
    """Certify a predictor by the number of its errors.

    Args:
        errors: from 0 to ``examples``.
        examples: at least 1.
        delta: failure probability in (0, 1).
        nats: what the choice of the predictor costs; None for examples that chose nothing.

    Raises:
        UsageError: a number is out of its range.
    """
    part: Part = "holdout" if nats is None else "sample"
    settings = {"errors": errors, "examples": examples}
    return _certify({part: given_losses(errors, examples)}, delta, nats, settings)


def _certify(
    parts: Mapping[Part, Losses], delta: float, nats: float | None, settings: Mapping[str, Any]
) -> Report:
    require_delta(delta)
    if ("sample" in parts) != (nats is not None):
        raise UsageError(
            "--nats pays for a predictor that was chosen on the sample; "
            + ("there is none." if nats is not None else "it was not given."),
            remedy="Give --nats X for examples of the split sample or train, and for no others.",
        )
    require_nonnegative("--nats", nats or 0.0)
    if len(parts) > 1 and all(one.errors is None for one in parts.values()):
        raise UsageError(
            "Both splits hold losses that are not 0 or 1, or groups; one such split was expected.",
            remedy="Certify one split at a time, each at its share of delta.",
        )
    share = equal_share(delta, len(parts))
    bounds = [bound_losses(part, losses, nats or 0.0, share) for part, losses in parts.items()]
    headline = best_of(bounds, share, [bound.theorem for bound in bounds])
    return Report(
        dlgen_version=__version__,
        command="certify",
        settings={**settings, "delta": delta, **({} if nats is None else {"nats": nats})},
        bounds=bounds,
        headline=headline,
        results={f"{part}_examples": losses.examples for part, losses in parts.items()},
    )
