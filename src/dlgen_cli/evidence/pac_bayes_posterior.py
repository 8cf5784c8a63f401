"""The risk of a trained Gaussian posterior: `pac_bayes.posterior`, from its run directory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.bounds.gibbs_risk import DrawnErrors, IntegratedRisk
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR, posterior_name
from dlgen_cli.checkpoints.anchors import open_anchors
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.runs import posterior_file as posterior
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.posterior_file import (
    FACTOR,
    POSTERIOR_FILE,
    PRIOR_EXPONENTS,
    StoredPosterior,
    prior_deviation,
    root_mean_squares,
)
from dlgen_cli.checkpoints.runs.run_config import facts_of, read_config
from dlgen_cli.checkpoints.runs.run_directory import INIT_FILE
from dlgen_cli.checkpoints.runs.run_record import require_own
from dlgen_cli.devices import resolve_device
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.evidence.anchors import without_prior_examples
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.divergence import choice_nats_upper, distance_nats_upper, spread_nats_upper
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.posterior import (
    prior_deviations_line,
    random_predictor_line,
    tried_line,
)
from dlgen_cli.evidence.monte_carlo import delta_of_risks, draws_of
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.predictors import (
    Deviation,
    Factor,
    FoldedNetwork,
    GaussianWeights,
    coordinates,
    gibbs_errors,
    head_risks,
    open_folded,
)
from dlgen_cli.records import Assumption, Bound
from dlgen_cli.spectra import sum_up

_LARGEST_SHRINK = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coordinate:
    """One tensor of the posterior beside the prior's.

    Attributes:
        prior_mean: float32.
        prior_deviation: t, one for all entries; 0 where the coordinate is frozen.
        deviation: of the posterior; 0.0 where the coordinate is frozen.
        spread_nats: upper bound on what the deviation costs.
    """

    prior_mean: Tensor
    prior_deviation: float
    deviation: Deviation
    spread_nats: float


def holds_posterior(options: AuditOptions) -> bool:
    """Whether a checkpoint is the mean of a posterior that a run trained."""
    directory = _directory(options)
    is_run = directory.is_dir() and run_directory.is_run_directory(directory)
    return is_run and posterior.holds_posterior(directory)


def _directory(options: AuditOptions) -> Path:
    """The run directory, where the checkpoint is one or the model in it."""
    path = options.checkpoint
    is_model = path.name == run_directory.MODEL_FILE and path.is_file()
    return path.resolve().parent if is_model else path


def refuse_options_of_a_posterior(options: AuditOptions, data: DataOptions) -> None:
    """Refuse the options that only a run of ``--objective pac-bayes`` has.

    Raises:
        UsageError: naming the option.
    """
    if list(data.shrink) != [1.0] or data.occam or data.tried != 1 or data.tried_nats:
        tried = "--tried-nats" if data.tried_nats else "--tried"
        is_tried = data.tried != 1 or data.tried_nats
        option = "--occam" if data.occam else tried if is_tried else "--shrink"
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
    inputs, data, directory = evidence.inputs, evidence.data, _directory(evidence.inputs.options)
    prior = _open_prior(inputs, directory)
    samples, origin = without_prior_examples(prior, directory, evidence.samples)
    folded = open_folded(inputs.checkpoint, inputs.read)
    prior_mean = coordinates(inputs.read.network, CheckpointTensors(prior))
    own = coordinates(inputs.read.network, inputs.read.tensors)
    stored = posterior.read(directory, {name: one.shape for name, one in own.items()})
    located = _coordinates(own, prior_mean, stored)
    means = [_shrunk(own, prior_mean, one) for one in data.shrink]
    costs = [_costs(mean, located) for mean in means]
    deviations = {name: one.deviation for name, one in located.items()}
    gaussians = [GaussianWeights(mean=mean, deviations=deviations) for mean in means]
    device = resolve_device(inputs.options.device)
    risks, mean_errors, risk_line = _risks(folded.to(device), gaussians, samples, evidence)
    posteriors = [
        bounds.Posterior(
            name=posterior_name(shrink),
            distance_nats_upper=sum_up([distance for distance, _ in cost.values()]),
            spread_nats_upper=sum_up([spread for _, spread in cost.values()]),
            risk=risk,
        )
        for shrink, cost, risk in zip(data.shrink, costs, risks, strict=True)
    ]
    examples, choices = len(samples.bound), _choice_nats(stored, data)
    frozen = [name for name in own if name not in stored.exponents]
    lines = [
        *samples.sample_lines,
        *ledger.structure_lines(inputs.read, inputs.options.arch),
        origin,
        prior_deviations_line(len(stored.exponents), len(PRIOR_EXPONENTS), choices[0]),
        tried_line(data.tried, data.tried_nats),
        *ledger.frozen_lines(frozen, "As the run recorded it."),
        random_predictor_line(),
        risk_line,
    ]

    def evaluate(delta: float) -> Bound:
        left, monte_carlo = delta_of_risks(risks, data.delta_monte_carlo, delta)
        return bounds.posterior_risk(
            posteriors,
            examples,
            left,
            monte_carlo,
            choice_nats=sum_up(choices),
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


def _choice_nats(stored: StoredPosterior, data: DataOptions) -> tuple[float, float]:
    """What the choice of the prior costs: of its deviations, and of its settings."""
    of_deviations = choice_nats_upper(len(PRIOR_EXPONENTS), len(stored.exponents))
    return of_deviations, data.tried_nats or choice_nats_upper(data.tried, 1)


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


def _open_prior(inputs: Inputs, directory: Path) -> Checkpoint:
    """The prior's mean: the initialization of the same run."""
    require_own(directory, read_config(directory), INIT_FILE, POSTERIOR_FILE)
    (prior,) = open_anchors([directory / INIT_FILE], inputs.checkpoint, inputs.read.tied)
    own = inputs.checkpoint.config
    if own is None or prior.source.config not in (None, facts_of(own)):
        raise CheckpointError(
            f"{directory / INIT_FILE} records another run than the config.json beside it.",
            remedy="Take the run's directory as it was written.",
        )
    return prior.source


def _coordinates(
    own: Mapping[str, Tensor], prior_mean: Mapping[str, Tensor], stored: StoredPosterior
) -> dict[str, _Coordinate]:
    bases = root_mean_squares(prior_mean)
    found = {}
    for name, mean in own.items():
        deviation: Deviation = 0.0
        of_prior = spread = 0.0
        if name in stored.exponents:
            of_prior = prior_deviation(bases[name], stored.exponents[name])
            deviation = _deviation(name, stored.spreads, of_prior)
            spread = spread_nats_upper(mean, deviation, of_prior)
        elif not torch.equal(mean, prior_mean[name]):
            raise UsageError(
                f"{name} has no spread but differs from the prior's mean; equal weights were "
                "expected.",
                remedy="Train the run again with `dlgen train --objective pac-bayes`.",
            )
        found[name] = _Coordinate(
            prior_mean=prior_mean[name],
            prior_deviation=of_prior,
            deviation=deviation,
            spread_nats=spread,
        )
    return found


def _deviation(name: str, spreads: Mapping[str, Tensor], prior_deviation: float) -> Deviation:
    """The posterior's deviation in float32: that is the one that is evaluated and paid for."""
    spread = spreads.get(name, spreads.get(f"{name}{FACTOR}"))
    assert spread is not None  # noqa: S101  the reader has looked
    rounded = (spread.double() * prior_deviation).to(torch.float32)
    is_factor = name not in spreads
    positive = rounded.diagonal() if is_factor else rounded
    if not bool((positive > 0).all()) or not bool(rounded.isfinite().all()):
        raise UsageError(
            f"A standard deviation of {name} is out of the range of float32.",
            remedy="Train the run again with another --sigma.",
        )
    if is_factor and len(rounded) > 1:
        return Factor(rounded)
    return float(rounded) if rounded.numel() == 1 else rounded


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
    mean: Mapping[str, Tensor], located: Mapping[str, _Coordinate]
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
