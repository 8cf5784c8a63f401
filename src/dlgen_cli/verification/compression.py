"""Compression bounds, evaluated again from their terms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, localcontext
from typing import Any, get_args

from dlgen_cli.bounds import (
    CompressionSetting,
    LayeredNetwork,
    LayerNorms,
    LinearMap,
    fixed_rank,
    occam,
    stored,
    withheld,
)
from dlgen_cli.bounds.arithmetic import UPWARD
from dlgen_cli.bounds.compression import conclude_sweep, evaluate
from dlgen_cli.bounds.compression_layer_ranks import conclude_ranks
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.records import Assumption, Bound, GraphNode, NodeKind

_Lines = Sequence[Assumption]
_NUMBERS = {"factor_upper", "offset_upper", "cap_upper", "spread_upper"}
_MANY_INPUTS = {"sum", "concat"}
_WITH_LAYER = {"linear", "diagonal"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedMap(LinearMap):
    """A layer whose norms are those on record, at whatever rank."""

    norms: LayerNorms

    def at_rank(self, rank: int | None) -> LayerNorms:  # noqa: ARG002 - one rank is on record
        """The norms on record."""
        return self.norms


def read_network(terms: Fields) -> tuple[LayeredNetwork, dict[str, LayerNorms]]:
    """The graph and the norms that the distance was propagated from.

    Raises:
        UnusableField: something in it is missing or impossible.
    """
    recorded = terms.fields("network")
    maps = [_read_map(row) for row in recorded.rows("layers")]
    nodes = [_read_node(row) for row in recorded.rows("nodes")]
    known: set[str] = set()
    for row, node in zip(recorded.rows("nodes"), nodes, strict=True):
        if not set(node.inputs) <= known or (not known) != (node.kind == "input"):
            raise UnusableField(row.path("inputs"), list(node.inputs), "names of earlier nodes")
        known.add(node.name)
    if {node.layer for node in nodes if node.layer is not None} != {one.name for one in maps}:
        raise UnusableField(recorded.path("layers"), [one.name for one in maps], "those of nodes")
    return LayeredNetwork(nodes=nodes, maps=maps), {one.name: one.norms for one in maps}


def _read_map(row: Fields) -> RecordedMap:
    norms = LayerNorms(**{one.name: row.number(one.name) for one in fields(LayerNorms)})
    plain, moved = float(norms.norm_upper), float(norms.moved_norm_upper)
    if moved not in (plain, math.nextafter(plain + float(norms.error_upper), math.inf)):
        raise UnusableField(row.path("moved_norm_upper"), moved, "the norm, or it plus the error")
    return RecordedMap(
        name=row.text("name"),
        rows=row.count("rows"),
        columns=row.count("columns"),
        norm_upper=plain,
        truncation_errors_upper=(),
        bias_parameters=row.count("bias_parameters"),
        is_diagonal=row.flag("is_diagonal"),
        norms=norms,
    )


def _read_node(row: Fields) -> GraphNode:
    values: dict[str, Any] = {name: row.text(name) for name in ("name", "kind", "operation")}
    for name in row.values.keys() - values.keys():
        if name in _NUMBERS:
            values[name] = row.number(name)
        elif name == "layer":
            values[name] = row.text(name)
        elif name == "inputs":
            values[name] = tuple(row.texts(name))
        elif name == "coefficients_upper":
            values[name] = tuple(row.numbers(name))
        else:
            raise UnusableField(row.path(name), row.get(name), "a field of a node")
    node = GraphNode(**values)
    if node.kind not in get_args(NodeKind) or (node.kind in _WITH_LAYER) != (
        node.layer is not None
    ):
        raise UnusableField(row.path("kind"), node.kind, "a kind of node, with a layer if linear")
    if node.kind not in _MANY_INPUTS and len(node.inputs) != (node.kind != "input"):
        raise UnusableField(row.path("inputs"), list(node.inputs), "one earlier node")
    return node


def _setting(terms: Fields, delta: float) -> CompressionSetting:
    return CompressionSetting(
        bits_per_parameter=terms.count("bits_per_parameter"),
        examples=terms.count("examples"),
        delta=delta,
        loss_lipschitz=terms.number("loss_lipschitz"),
        radius=terms.number("radius"),
    )


def _is_withheld(terms: Fields) -> bool:
    return "bits" in terms.values and terms.get("bits") is None


def again_fixed_rank(terms: Fields, delta: float, lines: _Lines) -> Bound:
    """`compression.fixed_rank` from its terms."""
    if _is_withheld(terms):
        return withheld("compression.fixed_rank", lines)
    network, _ = read_network(terms)
    return fixed_rank(network, _setting(terms, delta), terms.count("rank"), lines)


def again_all_ranks(terms: Fields, delta: float, lines: _Lines) -> Bound:
    """`compression.all_ranks` from its terms.

    The best rank is evaluated from the norms on record, the others from their distances.
    """
    if _is_withheld(terms):
        return withheld("compression.all_ranks", lines)
    network, norms = read_network(terms)
    setting, rank = _setting(terms, delta), terms.count("rank")
    largest = max(map_.largest_rank for map_ in network.maps)
    rows = list(terms.rows("sweep"))
    if len(rows) != largest or not 1 <= rank <= largest:
        raise UnusableField(terms.path("sweep"), len(rows), f"{largest} ranks, the best among them")
    sweep = []
    for one, row in enumerate(rows, start=1):
        distance = (
            network.distance(norms, setting.radius) if one == rank else _recorded_distance(row)
        )
        sweep.append(evaluate(setting, _factor_bits(network, setting, one), distance, largest))
    best = conclude_sweep(network, setting, sweep, rank, lines)
    if any(one.value < sweep[rank - 1].value for one in sweep):
        raise UnusableField(terms.path("rank"), rank, "the rank with the smallest value")
    return best


def _recorded_distance(row: Fields) -> Decimal:
    distance, logarithm = row.optional_number("distance"), row.optional_number("log10_distance")
    if distance is not None:
        return Decimal(distance)
    if logarithm is None:
        raise UnusableField(row.path("distance"), None, "a number or its logarithm")
    with localcontext(UPWARD):
        return Decimal(10) ** Decimal(logarithm)


def _factor_bits(network: LayeredNetwork, setting: CompressionSetting, rank: int) -> int:
    parameters = sum(map_.factor_parameters(rank) + map_.bias_parameters for map_ in network.maps)
    return setting.bits_per_parameter * parameters


def again_layer_ranks(terms: Fields, delta: float, lines: _Lines) -> Bound:
    """`compression.layer_ranks` from its terms; the ranks are taken as given, for any do."""
    if _is_withheld(terms):
        return withheld("compression.layer_ranks", lines)
    network, norms = read_network(terms)
    setting, ranks = _setting(terms, delta), terms.counts("ranks")
    whole = terms.texts("stored_whole")
    parameters = _parameters(terms, network, ranks, whole)
    for map_ in network.maps:
        if map_.name in whole and norms[map_.name].error_upper != 0:
            raise UnusableField(terms.path("stored_whole"), map_.name, "layers without an error")
    union = math.prod(map_.largest_rank for map_ in network.maps)
    evaluation = evaluate(
        setting,
        setting.bits_per_parameter * parameters,
        network.distance(norms, setting.radius),
        union,
    )
    return conclude_ranks(
        network,
        setting,
        evaluation,
        norms=norms,
        ranks=ranks,
        stored_whole=whole,
        assumptions=lines,
    )


def _parameters(
    terms: Fields, network: LayeredNetwork, ranks: Mapping[str, int], whole: Sequence[str]
) -> int:
    """Numbers that are stored at the recorded ranks."""
    names = [map_.name for map_ in network.maps]
    if set(ranks) != set(names) or not set(whole) <= set(names):
        raise UnusableField(terms.path("ranks"), list(ranks), f"a rank for each of {names}")
    total = 0
    for map_ in network.maps:
        rank, is_whole = ranks[map_.name], map_.name in whole
        if not 1 <= rank <= map_.largest_rank or (is_whole and rank != map_.largest_rank):
            raise UnusableField(terms.path("ranks"), rank, f"a rank up to {map_.largest_rank}")
        total += map_.whole_parameters if is_whole else map_.factor_parameters(rank)
        total += map_.bias_parameters
    return total


#: Bits of the scale that is stored with every tensor.
_SCALE_BITS = 64


def again_stored(terms: Fields, delta: float, lines: _Lines) -> Bound:
    """`compression.stored` from its terms; the bits must be those of tensors of these ranks."""
    if _is_withheld(terms):
        return withheld("compression.stored", lines)
    network, norms = read_network(terms)
    setting, ranks = _setting(terms, delta), terms.counts("ranks")
    whole, bits = terms.texts("stored_whole"), terms.count("bits")
    entries = setting.bits_per_parameter * _parameters(terms, network, ranks, whole)
    tensors = sum(
        (1 if map_.name in whole else 2) + (1 if map_.bias_parameters else 0)
        for map_ in network.maps
    )
    if bits != entries + _SCALE_BITS * tensors:
        expected = f"{entries} for the entries and {_SCALE_BITS} for each of {tensors} scales"
        raise UnusableField(terms.path("bits"), bits, expected)
    choices = terms.count("widths") * math.prod(map_.largest_rank for map_ in network.maps)
    if choices < 1:
        raise UnusableField(terms.path("widths"), terms.get("widths"), "at least 1")
    return stored(
        network,
        setting,
        norms,
        ranks=ranks,
        stored_whole=whole,
        stored_bits=bits,
        choices=choices,
        assumptions=lines,
    )


def again_occam(terms: Fields, delta: float, lines: _Lines) -> Bound:
    """`compression.occam` from its terms."""
    return occam(
        terms.number("bits"),
        terms.count("errors"),
        terms.count("examples"),
        delta,
        union_nats=terms.number("union_nats"),
        assumptions=lines,
    )
