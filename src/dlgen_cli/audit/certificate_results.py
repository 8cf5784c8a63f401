"""What a report says of certificates side by side: the options in force and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.bounds.verdict import verdict
from dlgen_cli.evidence.options import DataOptions
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.records import Bound, Headline


def data_settings(data: DataOptions, *, has_posterior: bool = False) -> dict[str, Any]:
    """The options of a certificate in force, for the report."""
    own: dict[str, Any] = {"shrink": list(data.shrink), "tried": data.tried}
    if not has_posterior:
        own = {"freeze": list(data.freeze), "relative_sigma": data.relative}
    return {
        "data": data.data,
        "draws": data.draws,
        "delta_monte_carlo": data.delta_monte_carlo,
        **own,
        "seed": data.seed,
    }


def certificate_results(
    samples: Samples,
    errors: Mapping[str, int],
    certificates: Sequence[Bound],
    headline: Headline | None,
) -> dict[str, Any]:
    """The certificates side by side, with the errors of the network itself."""
    return {
        "data": samples.source,
        "sample_examples": len(samples.bound),
        "sample_error": errors["sample"] / len(samples.bound),
        "test_examples": len(samples.test),
        "test_error": errors["test"] / len(samples.test),
        "holdout_origin": samples.holdout_origin,
        "certificates": [
            {
                "theorem": bound.theorem,
                "risk_upper": bound.value,
                "status": bound.status,
                "empirical_risk": bound.terms.get("empirical_risk"),
                "examples": bound.terms.get("examples"),
            }
            for bound in certificates
        ],
        "best": headline.theorem if headline else None,
        "verdict": verdict({bound.theorem: bound.value for bound in certificates}),
    }
