"""A posterior that a run trained, opened beside its prior: what its certificates are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

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
from dlgen_cli.evidence.certificate import Evidence
from dlgen_cli.evidence.divergence import choice_nats_upper, spread_nats_upper
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.posterior import (
    prior_deviations_line,
    tried_line,
)
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.predictors import (
    Deviation,
    Factor,
    FoldedNetwork,
    coordinates,
    open_folded,
)
from dlgen_cli.records import Assumption
from dlgen_cli.spectra import sum_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
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
    directory = directory_of(options)
    is_run = directory.is_dir() and run_directory.is_run_directory(directory)
    return is_run and posterior.holds_posterior(directory)


def directory_of(options: AuditOptions) -> Path:
    """The run directory, where the checkpoint is one or the model in it."""
    path = options.checkpoint
    is_model = path.name == run_directory.MODEL_FILE and path.is_file()
    return path.resolve().parent if is_model else path


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPosterior:
    """A trained Gaussian over the folded network, in float32, with its prior.

    Attributes:
        directory: of its run.
        prior: the checkpoint of the prior's mean.
        samples: without the examples that trained that mean.
        folded: the network, on the device that computes.
        mean: of the posterior, by coordinate.
        prior_mean: the same of the prior.
        coordinates: each beside the prior's.
        choice_nats: what the choice of the prior costs.
        lines: the ledger of the sample, the structure and the prior.
    """

    directory: Path
    prior: Checkpoint
    samples: Samples
    folded: FoldedNetwork
    mean: Mapping[str, Tensor]
    prior_mean: Mapping[str, Tensor]
    coordinates: Mapping[str, Coordinate]
    choice_nats: float
    lines: Sequence[Assumption]

    @property
    def deviations(self) -> dict[str, Deviation]:
        """Of the posterior, by coordinate."""
        return {name: one.deviation for name, one in self.coordinates.items()}


def open_posterior(evidence: Evidence) -> OpenedPosterior:
    """Open the posterior of a run; examples that trained the prior's mean leave the sample.

    Raises:
        CheckpointError: the directory is not whole.
        UsageError: a frozen parameter differs from the prior's mean, or the network cannot be
            evaluated.
    """
    inputs, data = evidence.inputs, evidence.data
    directory = directory_of(inputs.options)
    prior = _open_prior(inputs, directory)
    samples, origin = without_prior_examples(prior, directory, evidence.samples)
    folded = open_folded(inputs.checkpoint, inputs.read)
    prior_mean = coordinates(inputs.read.network, CheckpointTensors(prior))
    own = coordinates(inputs.read.network, inputs.read.tensors)
    stored = posterior.read(directory, {name: one.shape for name, one in own.items()})
    of_deviations = choice_nats_upper(len(PRIOR_EXPONENTS), len(stored.exponents))
    of_settings = data.tried_nats or choice_nats_upper(data.tried, 1)
    frozen = [name for name in own if name not in stored.exponents]
    lines = [
        *samples.sample_lines,
        *ledger.structure_lines(inputs.read, inputs.options.arch),
        origin,
        prior_deviations_line(len(stored.exponents), len(PRIOR_EXPONENTS), of_deviations),
        tried_line(data.tried, data.tried_nats),
        *ledger.frozen_lines(frozen, "As the run recorded it."),
    ]
    return OpenedPosterior(
        directory=directory,
        prior=prior,
        samples=samples,
        folded=folded.to(resolve_device(inputs.options.device)),
        mean=own,
        prior_mean=prior_mean,
        coordinates=_coordinates(own, prior_mean, stored),
        choice_nats=sum_up((of_deviations, of_settings)),
        lines=lines,
    )


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
) -> dict[str, Coordinate]:
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
        found[name] = Coordinate(
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
