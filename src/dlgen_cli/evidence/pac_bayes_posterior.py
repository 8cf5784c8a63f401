"""The risk of a trained Gaussian posterior: `pac_bayes.posterior`, from its run directory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.bounds.gibbs_risk import DrawnErrors, IntegratedRisk
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR, posterior_name
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.divergence import distance_nats_upper
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.posterior import (
    random_predictor_line,
)
from dlgen_cli.evidence.monte_carlo import delta_of_risks, draws_of
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.evidence.trained_posterior import Coordinate, open_posterior
from dlgen_cli.predictors import (
    FoldedNetwork,
    GaussianWeights,
    gibbs_errors,
    head_risks,
)
from dlgen_cli.records import Assumption, Bound
from dlgen_cli.spectra import sum_up

_LARGEST_SHRINK = 2.0


def refuse_options_of_a_posterior(options: AuditOptions, data: DataOptions) -> None:
    """Refuse the options that only a run of ``--objective pac-bayes`` has.

    Raises:
        UsageError: naming the option.
    """
    given = {
        "--occam": data.occam,
        "--tried-nats": bool(data.tried_nats),
        "--tried": data.tried != 1,
        "--draw-network": data.draw_network is not None,
        "--shrink": list(data.shrink) != [1.0],
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise UsageError(
            f"{option} was given, but {options.checkpoint} is not a run of "
            "`dlgen train --objective pac-bayes`.",
            remedy="Leave it out, or give such a run.",
        )


def require_options_of_a_posterior(data: DataOptions) -> None:
    """Refuse options of a posterior that are out of their range.

    Raises:
        UsageError: naming the option.
    """
    if data.tried < 1:
        raise UsageError(f"--tried is {data.tried}.", remedy="Give at least 1, for this one.")
    if not 0 <= data.tried_nats < math.inf:
        raise UsageError(f"--tried-nats is {data.tried_nats:g}; 0 or more was expected.")
    if data.tried_nats and data.tried != 1:
        raise UsageError(
            "--tried pays for a list fixed in advance, --tried-nats for a search; both were given.",
            remedy="Give one of them: a search within a list costs ln N nats too.",
        )
    for one in data.shrink:
        if not 0 <= one <= _LARGEST_SHRINK:
            raise UsageError(f"--shrink is {one:g}; a number from 0 to 2 was expected.")
    if not data.shrink or len(set(data.shrink)) < len(data.shrink):
        raise UsageError("--shrink names no number, or one twice.", remedy="Give each once.")


def posterior_certificate(evidence: Evidence) -> Certificate:
    """Measure the divergence from the prior and count the errors of the draws.

    Posterior and prior are over the folded network in float32: what is measured is what is
    evaluated. Examples that trained the prior's mean leave the sample.

    Raises:
        CheckpointError: the directory is not whole.
        UsageError: a frozen parameter differs from the prior's mean, or the network cannot be
            evaluated.
        DataError: the data do not fit the network.
    """
    opened, data = open_posterior(evidence), evidence.data
    own, prior_mean, samples = opened.mean, opened.prior_mean, opened.samples
    means = [_shrunk(own, prior_mean, one) for one in data.shrink]
    costs = [_costs(mean, opened.coordinates) for mean in means]
    gaussians = [GaussianWeights(mean=mean, deviations=opened.deviations) for mean in means]
    risks, mean_errors, risk_line = _risks(opened.folded, gaussians, samples, evidence)
    posteriors = [
        bounds.Posterior(
            name=posterior_name(shrink),
            distance_nats_upper=sum_up([distance for distance, _ in cost.values()]),
            spread_nats_upper=sum_up([spread for _, spread in cost.values()]),
            risk=risk,
        )
        for shrink, cost, risk in zip(data.shrink, costs, risks, strict=True)
    ]
    examples, choice_nats = len(samples.bound), opened.choice_nats
    lines = [*opened.lines, random_predictor_line(), risk_line]

    def evaluate(delta: float) -> Bound:
        left, monte_carlo = delta_of_risks(risks, data.delta_monte_carlo, delta)
        return bounds.posterior_risk(
            posteriors,
            examples,
            left,
            monte_carlo,
            choice_nats=choice_nats,
            assumptions=lines,
        )

    is_whole = examples == len(evidence.samples.bound)
    return Certificate(
        theorem=POSTERIOR.name,
        evaluate=evaluate,
        errors=_errors_of_trained(mean_errors, data.shrink) if is_whole else {},
        facts=lambda bound: {"coordinates": _coordinate_rows(bound, posteriors, costs)},
    )


def _risks(
    folded: FoldedNetwork,
    gaussians: Sequence[GaussianWeights],
    samples: Samples,
    evidence: Evidence,
) -> tuple[Sequence[DrawnErrors | IntegratedRisk], Sequence[int] | None, Assumption]:
    """The risks on the sample, the errors of the means, and the ledger's line on how."""
    found = head_risks(
        folded, gaussians, samples.bound, scale=samples.scale, progress=evidence.progress
    )
    if found is not None:
        risks = [IntegratedRisk(upper=one, cells=found.cells) for one in found.risks_upper]
        return risks, found.mean_errors, ledger.integral_line(found.cells)
    draws = evidence.data.draws
    counts = gibbs_errors(
        folded,
        gaussians,
        samples.bound,
        draws_of(evidence.data, evidence.progress),
        scale=samples.scale,
    )
    drawn = [DrawnErrors(draws=draws, trials=draws, errors=errors) for errors in counts.errors]
    return drawn, counts.mean_errors, ledger.draws_line(draws)


def _errors_of_trained(errors: Sequence[int] | None, shrink: Sequence[float]) -> dict[str, int]:
    """The errors of the trained mean on the sample; empty where they were not counted."""
    if errors is None or 1 not in shrink:
        return {}
    return {"sample": errors[list(shrink).index(1)]}


def _coordinate_rows(
    bound: Bound,
    posteriors: Sequence[bounds.Posterior],
    costs: Sequence[Mapping[str, tuple[float, float]]],
) -> list[dict[str, Any]]:
    """What each coordinate of the posterior that was best costs, as rows of a table."""
    best = [one.name for one in posteriors].index(bound.terms["name"])
    return [
        {"name": name, "distance_nats_upper": distance, "spread_nats_upper": spread}
        for name, (distance, spread) in costs[best].items()
    ]


def _shrunk(
    own: Mapping[str, Tensor], prior_mean: Mapping[str, Tensor], shrink: float
) -> Mapping[str, Tensor]:
    """``theta + A (mu - theta)``, rounded to float32; the posterior's own mean for A = 1."""
    if shrink == 1:
        return own
    moved = {}
    for name, mean in own.items():
        start = prior_mean[name].double()
        moved[name] = (start + shrink * (mean.double() - start)).to(mean.dtype)
    return moved


def _costs(
    mean: Mapping[str, Tensor], located: Mapping[str, Coordinate]
) -> dict[str, tuple[float, float]]:
    """Nats of distance and of spread, by coordinate; none for those that are frozen."""
    return {
        name: (
            distance_nats_upper(mean[name], one.prior_mean, one.prior_deviation),
            one.spread_nats,
        )
        for name, one in located.items()
        if one.prior_deviation
    }
