"""The code length of the change from a base, and the errors of what it decodes to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlgen_cli import bounds
from dlgen_cli.bounds.compression_occam import OCCAM
from dlgen_cli.checkpoints.anchors import AnchorTensors, open_anchors
from dlgen_cli.checkpoints.stored import sha256_of
from dlgen_cli.devices import resolve_device
from dlgen_cli.evidence.anchors import without_anchor_examples
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.change import base_line, change_line
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.predictors import coordinates, count_errors, open_folded, replace_parameters
from dlgen_cli.predictors.coded.change import Change, code_change, takes_factors
from dlgen_cli.records import Bound

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.evidence.samples import Samples
    from dlgen_cli.predictors import FoldedNetwork

#: What is tried; the code tells which, so that the choice is paid for. None is whole tensors.
RANKS = (None, 1, 2, 4, 8, 16)
EXPONENTS = range(-24, 13, 4)
#: How far the estimate of a code's length may lie above what is written.
_SLACK_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A change, its code length, and the errors of the network that it decodes to."""

    change: Change
    bits: int
    errors: int


def change_certificate(evidence: Evidence) -> Certificate:
    """Write the change from ``--base`` at several ranks and steps; the best one's bound stands.

    Examples that trained the base leave the sample.

    Raises:
        AnchorError: the base has other tensors than the checkpoint.
        UsageError: the network cannot be evaluated.
        DataError: the data do not fit the network.
    """
    inputs, options = evidence.inputs, evidence.inputs.options
    assert evidence.data.base is not None  # noqa: S101  the maker is taken only with one
    (base,) = open_anchors(
        [evidence.data.base], inputs.checkpoint, inputs.read.tied, prefix=options.prefix
    )
    samples = without_anchor_examples(base, evidence.samples)
    lines = [
        *samples.sample_lines,
        *ledger.structure_lines(inputs.read, options.arch),
        base_line(base.label, _digest(base), is_same=_is_same(base, evidence)),
    ]
    if inputs.read.skipped or inputs.read.obstacle is not None:
        return Certificate(theorem=OCCAM.name, evaluate=lambda _: OCCAM.withheld(lines))
    network = open_folded(inputs.checkpoint, inputs.read)
    network = network.to(resolve_device(options.device))
    start = coordinates(inputs.read.network, CheckpointTensors(base.source))
    tuned = coordinates(inputs.read.network, inputs.read.tensors)
    examples = len(samples.bound)
    written = _write(_changes(start, tuned), start, network, samples, evidence)

    def bound(one: _Written, delta: float) -> Bound:
        code = change_line(one.bits, one.change.rank, one.change.exponent / 4)
        return bounds.occam(one.bits, one.errors, examples, delta, assumptions=[*lines, code])

    def evaluate(delta: float) -> Bound:
        found = [bound(one, delta) for one in written]
        return min(found, key=lambda one: one.log10_value or 0.0)

    return Certificate(theorem=OCCAM.name, evaluate=evaluate)


def _digest(base: AnchorTensors) -> str:
    return base.source.sha256 or sha256_of(base.source.path)


def _is_same(base: AnchorTensors, evidence: Evidence) -> bool:
    return _digest(base) == evidence.inputs.checkpoint.sha256


def _changes(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor]) -> list[Change]:
    """What may be written, the shortest first."""
    ranks = [
        rank
        for rank in RANKS
        if rank is None or any(takes_factors(tensor, rank) for tensor in base.values())
    ]
    found = [
        code_change(base, tuned, rank=rank, exponent=exponent)
        for rank in ranks
        for exponent in EXPONENTS
    ]
    return sorted((one for one in found if one.is_writable), key=Change.bits_estimate)


def _write(
    changes: Sequence[Change],
    base: Mapping[str, Tensor],
    network: FoldedNetwork,
    samples: Samples,
    evidence: Evidence,
) -> list[_Written]:
    """Those that may come out best: the others would not even without a single error."""
    written: list[_Written] = []
    best, examples, delta = math.inf, len(samples.bound), evidence.delta
    progress = evidence.inputs.progress
    for change in changes:
        least = max(0.0, change.bits_estimate() - _SLACK_BITS)
        if written and (bounds.occam(least, 0, examples, delta).value or 0.0) >= best:
            continue
        decoded = replace_parameters(network, {**base, **change.decoded})
        errors = count_errors(
            decoded,
            samples.bound.images,
            samples.bound.labels,
            batch=decoded.batch_size(own_weights=False),
            device=decoded.device,
            scale=samples.scale,
            tick=lambda done: progress("evaluating a code", done, examples),
        )
        bits = 8 * len(change.write())
        written.append(_Written(change=change, bits=bits, errors=errors))
        value = bounds.occam(bits, errors, examples, delta).value
        best = min(best, 1.0 if value is None else value)
    return written
