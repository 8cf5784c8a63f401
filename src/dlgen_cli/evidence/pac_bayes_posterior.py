"""The risk of a trained Gaussian posterior: `pac_bayes.posterior`, from its run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.checkpoints.anchors import open_anchors
from dlgen_cli.checkpoints.runs import posterior_file as posterior
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.posterior_file import (
    FACTOR,
    StoredPosterior,
    prior_deviation,
    root_mean_squares,
)
from dlgen_cli.checkpoints.runs.run_directory import INIT_FILE
from dlgen_cli.devices import resolve_device
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.evidence.anchors import spend_hashes
from dlgen_cli.evidence.divergence import choice_nats_upper, distance_nats_upper, spread_nats_upper
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.posterior import (
    prior_deviations_line,
    random_predictor_line,
    tried_line,
)
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.evidence.pac_bayes_kl import DrawProgress, read_state, saver, split_delta
from dlgen_cli.evidence.plan import Inputs
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.predictors import Deviation, Factor, coordinates, gibbs_errors, open_folded
from dlgen_cli.records import Assumption, Bound
from dlgen_cli.spectra import sum_up

THEOREM = "pac_bayes.posterior"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorCertificate:
    """Everything but delta that `pac_bayes.posterior` is evaluated from.

    Attributes:
        posteriors: with their divergences and errors.
        examples: m.
        choice_nats: of the prior.
        lines: the ledger.
        delta_monte_carlo: what the user asked for; None takes a share.
        costs: for each posterior, by coordinate: nats of its distance and of its spread.
        mean_errors: of the trained mean itself on the m examples; None where not counted.
    """

    posteriors: Sequence[bounds.Posterior]
    examples: int
    choice_nats: float
    lines: Sequence[Assumption]
    delta_monte_carlo: float | None
    costs: Sequence[Mapping[str, tuple[float, float]]]
    mean_errors: int | None

    def evaluate(self, delta: float) -> Bound:
        """The bound that fails with probability delta, the Monte Carlo step included.

        Raises:
            UsageError: that step alone is to fail with probability delta or more.
        """
        left, monte_carlo = split_delta(self.delta_monte_carlo, delta)
        return bounds.posterior_risk(
            self.posteriors,
            self.examples,
            left,
            monte_carlo,
            choice_nats=self.choice_nats,
            assumptions=self.lines,
        )

    def coordinates(self, name: str) -> list[dict[str, Any]]:
        """What each coordinate of a posterior costs, as rows of a table."""
        names = [one.name for one in self.posteriors]
        return [
            {"name": one, "distance_nats_upper": distance, "spread_nats_upper": spread}
            for one, (distance, spread) in self.costs[names.index(name)].items()
        ]


def posterior_directory(options: AuditOptions) -> Path | None:
    """The run directory of a checkpoint that is the mean of a posterior; None for any other."""
    path = options.checkpoint
    is_model = path.name == run_directory.MODEL_FILE
    directory = path.resolve().parent if is_model and path.is_file() else path
    is_run = directory.is_dir() and run_directory.is_run_directory(directory)
    return directory if is_run and posterior.holds_posterior(directory) else None


def require_options(options: AuditOptions, data: DataOptions, directory: Path | None) -> None:
    """Refuse options that a posterior leaves no choice in, and those that only it has.

    Raises:
        UsageError: naming the option.
    """
    if directory is None:
        if list(data.shrink) != [1.0] or data.occam or data.tried != 1:
            option = "--occam" if data.occam else "--shrink" if data.tried == 1 else "--tried"
            raise UsageError(
                f"{option} was given, but {options.checkpoint} holds no posterior.",
                remedy="Leave it out, or give a run of `dlgen train --objective pac-bayes`.",
            )
        return
    fixed = {
        "--anchors": bool(options.anchors),
        "--freeze": bool(data.freeze),
        "--relative-sigma": data.relative,
        "--sigma": list(options.sigma) != list(AuditOptions(checkpoint=directory).sigma),
    }
    given = [option for option, is_given in fixed.items() if is_given]
    if given:
        raise UsageError(
            f"{given[0]} was given, but {directory} holds a posterior with its own prior.",
            remedy="Leave it out.",
        )
    if data.tried < 1:
        raise UsageError(f"--tried is {data.tried}.", remedy="Give at least 1, for this one.")
    for one in data.shrink:
        if not 0 <= one <= _LARGEST_SHRINK:
            raise UsageError(f"--shrink is {one:g}; a number from 0 to 2 was expected.")
    if not data.shrink or len(set(data.shrink)) < len(data.shrink):
        raise UsageError("--shrink names no number, or one twice.", remedy="Give each once.")


def prepare_posterior(
    inputs: Inputs,
    samples: Samples,
    data: DataOptions,
    directory: Path,
    progress: DrawProgress | None = None,
) -> PosteriorCertificate:
    """Measure the divergence from the prior and count the errors of the draws.

    Posterior and prior are over the folded network in float32: what is measured is what is
    evaluated. Examples that trained the prior's mean leave the sample.

    Raises:
        CheckpointError: the directory is not whole.
        UsageError: a frozen parameter differs from the prior's mean, or the network cannot be
            evaluated.
        DataError: the data do not fit the network.
    """
    prior = _open_prior(inputs, directory)
    samples, origin = spend_hashes(inputs.checkpoint, directory, samples)
    folded = open_folded(inputs.checkpoint, inputs.read)
    prior_mean = coordinates(inputs.read.network, CheckpointTensors(prior))
    own = coordinates(inputs.read.network, inputs.read.tensors)
    stored = posterior.read(directory, {name: one.shape for name, one in own.items()})
    located = _coordinates(own, prior_mean, stored)
    means = [_shrunk(own, prior_mean, one) for one in data.shrink]
    costs = [_costs(mean, located) for mean in means]
    counts = gibbs_errors(
        folded.to(resolve_device(inputs.options.device)),
        [{name: one.deviation for name, one in located.items()}] * len(means),
        samples.bound.images,
        samples.bound.labels,
        count=data.draws,
        seed=data.seed,
        means=means,
        scale=samples.scale,
        state=read_state(data.state),
        save=saver(data.state),
        progress=progress,
    )
    moving = len(stored.exponents)
    grid = len(posterior.PRIOR_EXPONENTS)
    choice_nats = sum_up([choice_nats_upper(grid, moving), choice_nats_upper(data.tried, 1)])
    frozen = [name for name in own if name not in stored.exponents]
    return PosteriorCertificate(
        posteriors=[
            _posterior(shrink, cost, counts.draws, errors)
            for shrink, cost, errors in zip(data.shrink, costs, counts.errors, strict=True)
        ],
        examples=len(samples.bound),
        choice_nats=choice_nats,
        lines=[
            *samples.sample_lines,
            *ledger.structure_lines(inputs.read, inputs.options.arch),
            *origin,
            prior_deviations_line(moving, grid, choice_nats_upper(grid, moving)),
            tried_line(data.tried),
            *ledger.frozen_lines(frozen, "As the run recorded it."),
            random_predictor_line(),
            ledger.draws_line(data.draws),
        ],
        delta_monte_carlo=data.delta_monte_carlo,
        costs=costs,
        mean_errors=_of_trained(counts.mean_errors, data.shrink),
    )


def _of_trained(errors: Sequence[int] | None, shrink: Sequence[float]) -> int | None:
    if errors is None or 1 not in shrink:
        return None
    return errors[list(shrink).index(1)]


def _open_prior(inputs: Inputs, directory: Path) -> Any:
    """The prior's mean: the initialization of the same run."""
    (prior,) = open_anchors([directory / INIT_FILE], inputs.checkpoint)
    if prior.source.config not in (None, inputs.checkpoint.config):
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


def _posterior(
    shrink: float, costs: Mapping[str, tuple[float, float]], draws: int, errors: int
) -> bounds.Posterior:

    return bounds.Posterior(
        name="as trained" if shrink == 1 else f"shrink {float(shrink)}",
        distance_nats_upper=sum_up([distance for distance, _ in costs.values()]),
        spread_nats_upper=sum_up([spread for _, spread in costs.values()]),
        draws=draws,
        trials=draws,
        errors=errors,
    )
