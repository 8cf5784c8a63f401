"""The risk of a Gaussian predictor around a checkpoint: `pac_bayes.kl`, from data and anchors."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.bounds.arithmetic import to_float, upward
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.checkpoints.anchors import AnchorTensors, open_anchors
from dlgen_cli.checkpoints.runs.posterior_file import root_mean_squares
from dlgen_cli.devices import resolve_device
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.anchors import without_anchor_examples
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.monte_carlo import draws_of, monte_carlo_share, split_delta
from dlgen_cli.evidence.options import DataOptions
from dlgen_cli.evidence.pac_bayes import anchor_paths
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.predictors import (
    FoldedNetwork,
    GaussianWeights,
    coordinates,
    gibbs_errors,
    open_folded,
    standard_deviations,
)
from dlgen_cli.records import Assumption, Bound
from dlgen_cli.spectra import squared_distance_upper, sum_up


def kl_certificate(evidence: Evidence) -> Certificate:
    """Measure the anchors and count the errors of the draws.

    Examples that trained an anchor leave the sample. Checkpoint and anchors are folded and
    rounded to float32 alike: the distances are those of the predictor that is evaluated.

    Raises:
        UsageError: there is no anchor, a frozen parameter differs from it, the network cannot be
            evaluated, or the Monte Carlo step is to fail with delta or more.
        DataError: the data do not fit the network.
    """
    inputs, samples, data = evidence.inputs, evidence.samples, evidence.data
    monte_carlo_share(data.delta_monte_carlo, evidence.delta)  # refuse before any draw
    paths, from_run = anchor_paths(inputs.options)
    opened = open_anchors(paths, inputs.checkpoint, inputs.read.tied, prefix=inputs.options.prefix)
    for one in opened:
        samples = without_anchor_examples(one, samples)
    folded = open_folded(inputs.checkpoint, inputs.read)
    located = [
        (one.name, coordinates(inputs.read.network, CheckpointTensors(one.source)))
        for one in opened
    ]
    own = coordinates(inputs.read.network, inputs.read.tensors)
    frozen = _frozen(own, located, data.freeze)
    scales = root_mean_squares(located[0][1]) if data.relative else None
    device = resolve_device(inputs.options.device)
    folded = folded.to(device)
    sigmas = list(inputs.options.sigma)
    deviations = [_deviations(folded, sigma, scales, frozen) for sigma in sigmas]
    anchors = [_anchor(name, own, tensors, sigmas, deviations, frozen) for name, tensors in located]
    counts = gibbs_errors(
        folded,
        [GaussianWeights(deviations=one) for one in deviations],
        samples.bound,
        draws_of(data, evidence.progress),
        scale=samples.scale,
    )
    drawn = [
        bounds.GibbsSample(sigma=sigma, draws=data.draws, trials=data.draws, errors=errors)
        for sigma, errors in zip(sigmas, counts.errors, strict=True)
    ]
    examples = len(samples.bound)
    lines = _lines(inputs, samples, opened, data, frozen, from_run=from_run)

    def evaluate(delta: float) -> Bound:
        left, monte_carlo = split_delta(data.delta_monte_carlo, delta)
        return bounds.kl_risk(anchors, drawn, examples, left, monte_carlo, lines)

    return Certificate(theorem=KL.name, evaluate=evaluate)


def _lines(
    inputs: Inputs,
    samples: Samples,
    opened: Sequence[AnchorTensors],
    data: DataOptions,
    frozen: Sequence[str],
    *,
    from_run: bool,
) -> list[Assumption]:
    names = [one.label for one in opened]
    return [
        *samples.sample_lines,
        *ledger.structure_lines(inputs.read, inputs.options.arch),
        *ledger.anchor_lines(names, from_run=from_run),
        *ledger.gibbs_lines(data.draws, frozen, relative=data.relative),
    ]


def _frozen(
    own: Mapping[str, Tensor],
    anchors: Sequence[tuple[str, Mapping[str, Tensor]]],
    patterns: Sequence[str],
) -> list[str]:
    """The parameters that ``--freeze`` names; each must equal every anchor's."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in own):
            raise UsageError(
                f"--freeze {pattern} matches no parameter; the first is {next(iter(own))}.",
                remedy="Name parameters as the report does.",
            )
    found = [name for name in own if any(fnmatchcase(name, one) for one in patterns)]
    for name in found:
        for anchor, tensors in anchors:
            if not torch.equal(own[name], tensors[name]):
                raise UsageError(
                    f"--freeze: {name} differs from the anchor {anchor}; equal weights were "
                    "expected.",
                    remedy="Freeze only what was not trained.",
                )
    if len(found) == len(own):
        raise UsageError("--freeze leaves no parameter to perturb.", remedy="Freeze fewer.")
    return found


def _deviations(
    folded: FoldedNetwork,
    sigma: float,
    scales: Mapping[str, float] | None,
    frozen: Sequence[str],
) -> dict[str, float]:
    return standard_deviations(folded, sigma, relative_to=scales, frozen=frozen)


def _anchor(
    name: str,
    own: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
    sigmas: Sequence[float],
    deviations: Sequence[Mapping[str, float]],
    frozen: Sequence[str],
) -> bounds.Anchor:
    """The squared distance in units in which every deviation is sigma, upward."""
    parts = []
    for parameter, tensor in own.items():
        if parameter in frozen:
            continue
        factor = _largest_factor(parameter, sigmas, deviations)
        squared = squared_distance_upper(tensor, other[parameter])
        parts.append((parameter, _product(squared, factor)))
    return bounds.Anchor(
        name=name,
        squared_distance_upper=sum_up([part for _, part in parts]),
        contributions=parts,
    )


@upward
def _largest_factor(
    name: str, sigmas: Sequence[float], deviations: Sequence[Mapping[str, float]]
) -> Decimal:
    """``(sigma / deviation)^2``, the largest over the sigmas: deviations are rounded to float32."""
    return max(
        (Decimal(sigma) / Decimal(one[name])) ** 2
        for sigma, one in zip(sigmas, deviations, strict=True)
    )


@upward
def _product(squared: float, factor: Decimal) -> float:
    exact = Decimal(squared) * factor
    product = to_float(exact)
    if product is None and exact < 1:  # below the normal floats
        return sys.float_info.min
    if product is None:
        raise UsageError(
            "The distance to an anchor, in units of its deviations, exceeds the range of float64.",
            remedy="Give a larger --sigma, or leave out --relative-sigma.",
        )
    return product
