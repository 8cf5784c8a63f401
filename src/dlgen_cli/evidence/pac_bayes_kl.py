"""The risk of a Gaussian predictor around a checkpoint: `pac_bayes.kl`, from data and anchors."""

from __future__ import annotations

import math
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.bounds.arithmetic import to_float, upward
from dlgen_cli.checkpoints.anchors import AnchorTensors, open_anchors
from dlgen_cli.checkpoints.runs.posterior_file import root_mean_squares
from dlgen_cli.devices import resolve_device
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.anchors import spend
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.options import DataOptions
from dlgen_cli.evidence.pac_bayes import anchor_paths
from dlgen_cli.evidence.plan import Inputs
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.predictors import (
    FoldedNetwork,
    coordinates,
    gibbs_errors,
    open_folded,
    standard_deviations,
)
from dlgen_cli.records import Assumption, Bound
from dlgen_cli.spectra import squared_distance_upper, sum_up

#: Told how many draws of how many are done.
DrawProgress = Callable[[int, int], None]

_MONTE_CARLO_SHARE = 5
THEOREM = "pac_bayes.kl"


@dataclass(frozen=True, slots=True, kw_only=True)
class GibbsCertificate:
    """Everything but delta that `pac_bayes.kl` is evaluated from.

    Attributes:
        anchors: with their distances in units of the posterior's deviations times sigma.
        counts: errors of the draws, for each sigma.
        examples: m.
        lines: the ledger.
        delta_monte_carlo: what the user asked for; None takes a share.
    """

    anchors: Sequence[bounds.Anchor]
    counts: Sequence[bounds.GibbsSample]
    examples: int
    lines: Sequence[Assumption]
    delta_monte_carlo: float | None

    def evaluate(self, delta: float) -> Bound:
        """The bound that fails with probability delta, the Monte Carlo step included.

        Raises:
            UsageError: that step alone is to fail with probability delta or more.
        """
        left, monte_carlo = split_delta(self.delta_monte_carlo, delta)
        return bounds.kl_risk(
            self.anchors, self.counts, self.examples, left, monte_carlo, self.lines
        )


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


def prepare_gibbs(
    inputs: Inputs, samples: Samples, data: DataOptions, progress: DrawProgress | None = None
) -> GibbsCertificate:
    """Measure the anchors and count the errors of the draws.

    Examples that trained an anchor leave the sample. Checkpoint and anchors are folded and
    rounded to float32 alike: the distances are those of the predictor that is evaluated.

    Raises:
        UsageError: there is no anchor, a frozen parameter differs from it, or the network cannot
            be evaluated.
        DataError: the data do not fit the network.
    """
    paths, from_run = anchor_paths(inputs.options)
    opened = open_anchors(paths, inputs.checkpoint)
    for one in opened:
        samples = spend(one, samples)
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
        deviations,
        samples.bound.images,
        samples.bound.labels,
        count=data.draws,
        seed=data.seed,
        scale=samples.scale,
        state=read_state(data.state),
        save=saver(data.state),
        progress=progress,
    )
    return GibbsCertificate(
        anchors=anchors,
        counts=[
            bounds.GibbsSample(
                sigma=sigma, draws=counts.draws, trials=counts.evaluations, errors=errors
            )
            for sigma, errors in zip(sigmas, counts.errors, strict=True)
        ],
        examples=len(samples.bound),
        lines=_lines(inputs, samples, opened, data, frozen, from_run=from_run),
        delta_monte_carlo=data.delta_monte_carlo,
    )


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


def read_state(path: Path | None) -> dict[str, object] | None:
    """The draws that an interrupted run kept; None where there are none.

    Raises:
        UsageError: the file holds something else.
    """
    if path is None or not path.is_file():
        return None

    try:
        state: dict[str, object] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"{path} holds no saved draws: {error}.", remedy="Remove it, or name another --state."
        ) from error
    return state


def saver(path: Path | None) -> Callable[[dict[str, object]], None] | None:
    """Keeps the draws every few seconds, whole or not at all."""
    if path is None:
        return None

    last = time.monotonic()

    def save(state: dict[str, object]) -> None:
        nonlocal last
        if time.monotonic() - last < 2.0:
            return
        last = time.monotonic()
        temporary = path.with_name(f".{path.name}.writing")
        torch.save(state, temporary)
        temporary.replace(path)

    return save
