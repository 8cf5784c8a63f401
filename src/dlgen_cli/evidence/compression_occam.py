"""The compressed network's errors on the sample and its code length: `compression.occam`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dlgen_cli import bounds
from dlgen_cli.bounds.compression_occam import OCCAM
from dlgen_cli.devices import resolve_device
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.compression_stored import encode
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.options import WIDTHS
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.networks import GraphLayer, effective_layer
from dlgen_cli.predictors import FoldedNetwork, count_errors, open_folded, replace_parameters
from dlgen_cli.records import MOST_STORED_BITS, Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """The network written at one width and one rank, and its errors on the sample."""

    width: int
    rank: int | None
    bits: int
    errors: int


def union_nats(choices: int) -> float:
    """``ln(choices)``, rounded upward."""
    return math.nextafter(math.log(choices) * (1 + 2.0**-50), math.inf) if choices > 1 else 0.0


def occam_certificate(evidence: Evidence) -> Certificate:
    """Write the network at the widths and ranks that may pay, and count each one's errors.

    Widths are ``--b`` or the list for ``auto``; ranks are the powers of two and the whole weight.
    The best code's bound is evaluated, the choice paid for.

    Raises:
        UsageError: the network cannot be evaluated.
        DataError: the data do not fit the network.
    """
    inputs, samples = evidence.inputs, evidence.samples
    lines = [*samples.sample_lines, *ledger.structure_lines(inputs.read, inputs.options.arch)]
    if inputs.read.skipped or inputs.read.obstacle is not None:
        return Certificate(theorem=OCCAM.name, evaluate=lambda _: OCCAM.withheld(lines))
    plans = _plans(list(inputs.read.network.layers.values()), inputs.options.b)
    examples, union = len(samples.bound), union_nats(len(plans))
    codes = _codes(evidence, plans)

    def bound(code: _Code, delta: float) -> Bound:
        rank = "whole weights" if code.rank is None else f"rank {code.rank}"
        code_lines = ledger.code_lines(
            rank, code.width, len(plans), is_given=inputs.options.b is not None
        )
        assumptions = [*lines, *code_lines]
        return bounds.occam(
            code.bits, code.errors, examples, delta, union_nats=union, assumptions=assumptions
        )

    def evaluate(delta: float) -> Bound:
        return min(
            [bound(code, delta) for code in codes], key=lambda found: found.log10_value or 0.0
        )

    return Certificate(theorem=OCCAM.name, evaluate=evaluate)


def _codes(evidence: Evidence, plans: Sequence[tuple[int, int, int | None]]) -> list[_Code]:
    """The codes that may come out best.

    A code is left out, unevaluated, where even without a single error it would be no better.
    """
    inputs, samples = evidence.inputs, evidence.samples
    folded = open_folded(inputs.checkpoint, inputs.read)
    folded = folded.to(resolve_device(inputs.options.device))
    examples, union = len(samples.bound), union_nats(len(plans))
    codes: list[_Code] = []
    best = math.inf
    for least_bits, width, rank in plans:
        floor = bounds.occam(least_bits, 0, examples, evidence.delta, union_nats=union).value
        if codes and (floor or 0.0) >= best:
            continue
        code = _write(inputs, folded, samples, width, rank)
        codes.append(code)
        value = bounds.occam(
            code.bits, code.errors, examples, evidence.delta, union_nats=union
        ).value
        best = min(best, 1.0 if value is None else value)
    return codes


def _plans(layers: Sequence[GraphLayer], width: int | None) -> list[tuple[int, int, int | None]]:
    """Least bits, width and rank of every code, the shortest first."""
    widths = WIDTHS if width is None else (min(width, MOST_STORED_BITS),)
    sizes = [(layer.weight_shape[0], math.prod(layer.weight_shape[1:])) for layer in layers]
    largest = max(min(rows, columns) for rows, columns in sizes)
    ranks: list[int | None] = [1 << power for power in range(largest.bit_length())]
    plans = []
    for rank in [*ranks, None]:
        entries = sum(_entries(rows, columns, rank) for rows, columns in sizes)
        plans += [(entries * bits, bits, rank) for bits in widths]
    return sorted(plans, key=lambda plan: plan[0])


def _entries(rows: int, columns: int, rank: int | None) -> int:
    whole = rows * columns
    return whole if rank is None else min(whole, rank * (rows + columns))


def _write(
    inputs: Inputs, folded: FoldedNetwork, samples: Samples, width: int, rank: int | None
) -> _Code:
    bits, decoded = 0, {}
    for layer in inputs.read.network.layers.values():
        rows, columns = layer.weight_shape[0], math.prod(layer.weight_shape[1:])
        pays = rank is not None and rank * (rows + columns) < rows * columns
        weight, bias = encode(
            effective_layer(layer, inputs.read.tensors), rank if pays else None, width
        )
        bits += weight.stored_bits + (bias.stored_bits if bias is not None else 0)
        decoded[layer.weight_name] = weight.weight()
        if bias is not None and layer.bias_name is not None:
            decoded[layer.bias_name] = bias.weight()
    network = replace_parameters(folded, decoded)
    count = len(samples.bound)
    errors = count_errors(
        network,
        samples.bound.images,
        samples.bound.labels,
        batch=network.batch_size(own_weights=False),
        device=network.device,
        scale=samples.scale,
        tick=lambda done: inputs.progress("evaluating a code", done, count),
    )
    return _Code(width=width, rank=rank, bits=bits, errors=errors)
