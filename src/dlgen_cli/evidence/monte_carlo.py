"""The Monte Carlo step of a certificate: its share of delta, its draws, and how they are kept."""

from __future__ import annotations

import io
import math
import pickle
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import torch

from dlgen_cli.bounds.gibbs_risk import DrawnErrors, IntegratedRisk
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.options import DataOptions
from dlgen_cli.files import write_whole
from dlgen_cli.predictors import Draws

#: Called with the draws that are done, and with all.
DrawProgress = Callable[[int, int], None]

_MONTE_CARLO_SHARE = 5


def monte_carlo_share(given: float | None, delta: float) -> float:
    """The part of delta that the Monte Carlo step may take; a fifth where nothing is given.

    Raises:
        UsageError: it is not between 0 and delta.
    """
    share = delta / _MONTE_CARLO_SHARE if given is None else given
    if not 0 < share < delta:
        raise UsageError(
            f"--delta-monte-carlo is {share:g}; a number between 0 and the certificate's failure "
            f"probability {delta:g} was expected.",
            remedy="Leave it out, or give less.",
        )
    return share


def split_delta(given: float | None, delta: float) -> tuple[float, float]:
    """What the theorem may take of delta, and what the Monte Carlo step; no more together.

    Raises:
        UsageError: see `monte_carlo_share`.
    """
    monte_carlo = monte_carlo_share(given, delta)
    left = math.nextafter(delta - monte_carlo, 0.0)
    while Decimal(left) + Decimal(monte_carlo) > Decimal(delta):
        left = math.nextafter(left, 0.0)
    return left, monte_carlo


def delta_of_risks(
    risks: Sequence[DrawnErrors | IntegratedRisk], given: float | None, delta: float
) -> tuple[float, float]:
    """As `split_delta`; all for the theorem where no risk was drawn.

    Raises:
        UsageError: see `monte_carlo_share`.
    """
    is_drawn = any(isinstance(one, DrawnErrors) for one in risks)
    return split_delta(given, delta) if is_drawn else (delta, 0.0)


def draws_of(data: DataOptions, progress: DrawProgress | None) -> Draws:
    """The draws that the user asked for, kept in the file of ``--state``.

    Raises:
        UsageError: the file holds something else.
    """
    return Draws(
        count=data.draws,
        seed=data.seed,
        state=_read_state(data.state),
        save=_saver(data.state),
        progress=progress,
    )


def _read_state(path: Path | None) -> dict[str, object] | None:
    """The draws that an interrupted run kept; None where there are none."""
    if path is None or not path.is_file():
        return None
    try:
        state: dict[str, object] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"{path} holds no saved draws: {error}.", remedy="Remove it, or name another --state."
        ) from error
    return state


def _saver(path: Path | None) -> Callable[[dict[str, object]], None] | None:
    """Keeps the draws every few seconds, whole or not at all."""
    if path is None:
        return None
    last = time.monotonic()

    def save(state: dict[str, object]) -> None:
        nonlocal last
        if time.monotonic() - last < 2.0:
            return
        last = time.monotonic()
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(path, content.getvalue())

    return save
