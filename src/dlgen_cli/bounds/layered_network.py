"""A network as the compression theorems see it, how it is recorded, and how it is read back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, get_args

from dlgen_cli.bounds.arithmetic import with_logarithm
from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.propagation import Propagation, propagate
from dlgen_cli.bounds.ranges import require_count, require_delta, require_examples, require_positive
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.bounds.theorem import read_sides, sides_terms
from dlgen_cli.errors import UsageError
from dlgen_cli.records import DIAGONAL_KINDS, GraphNode, NodeKind

_NUMBERS = {
    "factor_upper",
    "token_factor_upper",
    "entry_factor_upper",
    "offset_upper",
    "cap_upper",
    "spread_upper",
    "token_cap_upper",
    "entry_cap_upper",
}
#: How many inputs a node may have, where that is not one.
_INPUTS = {
    "input": (0,),
    "constant": (0,),
    "product": (2,),
    "matmul": (2,),
    "attention": (3, 4),
}
_MANY_INPUTS = {"sum", "concat"}
_WITH_LAYER = {"linear", "diagonal", "embedding", "prelu"}
_PERHAPS_WITH_LAYER = {"constant", "normalization"}
_OF_KNOWN_SHAPE = {"attention", "embedding", "matmul", "softmax"}
#: What propagation does not read.
_DESCRIPTIONS = {"reason"}
_DEFAULTS = {one.name: one.default for one in fields(GraphNode) if one.name not in _DESCRIPTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMap:
    """What the theorem needs to know of one map ``x -> W x + c``.

    Attributes:
        name: as the nodes of the network name it.
        rows: of the matrix that is factored, at least 1: output features or channels.
        columns: of that matrix, at least 1.
        norm_upper: upper bound on the operator norm of W.
        truncation_errors_upper: entry r bounds the operator norm of ``W - W_r`` from above; from
            entry ``min(rows, columns)`` on it is 0.
        truncated_norms_upper: entry r bounds the operator norm of ``W_r``; None where truncation
            does not raise it, as for a matrix.
        bias_norm_upper: upper bound on ``||c||_2`` over the whole output.
        bias_parameters: entries of c.
        is_diagonal: a diagonal map or a constant, of ``rows`` entries, which is stored whole.
    """

    name: str
    rows: int
    columns: int
    norm_upper: float
    truncation_errors_upper: Sequence[float]
    truncated_norms_upper: Sequence[float] | None = None
    bias_norm_upper: float = 0.0
    bias_parameters: int = 0
    is_diagonal: bool = False

    @property
    def largest_rank(self) -> int:
        """``min(rows, columns)``; 1 where there is nothing to choose."""
        return 1 if self.is_diagonal else min(self.rows, self.columns)

    @property
    def whole_parameters(self) -> int:
        """Entries of W."""
        return self.rows if self.is_diagonal else self.rows * self.columns

    def factor_parameters(self, rank: int) -> int:
        """``r (o + i)``: the source's count, also where it exceeds ``o i``."""
        return self.rows if self.is_diagonal else rank * (self.rows + self.columns)

    def at_rank(self, rank: int | None) -> LayerNorms:
        """Norms of W against its rank-r truncation; None keeps W whole."""
        is_whole = rank is None or self.is_diagonal or rank >= self.largest_rank
        moved = self.norm_upper
        if not is_whole and self.truncated_norms_upper is not None:
            moved = self.truncated_norms_upper[rank or 0]
        return LayerNorms(
            norm_upper=self.norm_upper,
            moved_norm_upper=moved,
            error_upper=0.0 if is_whole else self.truncation_errors_upper[rank or 0],
            moved_bias_norm_upper=self.bias_norm_upper,
        )


def rows_and_columns(kind: str, shape: Sequence[int]) -> tuple[int, int]:
    """The sizes of a layer's weight as a matrix; of a diagonal map, its entries and 1."""
    if kind in DIAGONAL_KINDS or not shape:
        return math.prod(shape), 1
    return shape[0], math.prod(shape[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class LayeredNetwork:
    """A network as the theorem sees it.

    Attributes:
        nodes: its graph, in the order of evaluation.
        maps: the layers that the nodes name, in the order of first use.
    """

    nodes: Sequence[GraphNode]
    maps: Sequence[LinearMap]

    def __post_init__(self) -> None:
        """Refuse an empty network.

        Raises:
            UsageError: there is no layer.
        """
        if not self.maps:
            raise UsageError(
                "The checkpoint holds no matrix; a compression bound needs at least one.",
                remedy="Check --include and --exclude.",
            )

    def at_rank(self, rank: int) -> dict[str, LayerNorms]:
        """The norms of every layer against its rank-r truncation, by name."""
        return {map_.name: map_.at_rank(rank) for map_ in self.maps}

    def distance(self, norms: Mapping[str, LayerNorms], radius: float) -> Decimal:
        """Bound ``sup ||h(x) - h'(x)||`` over inputs of norm at most ``radius``."""
        return self.distances([norms], radius)[0]

    def distances(
        self, choices: Iterable[Mapping[str, LayerNorms]], radius: float
    ) -> list[Decimal]:
        """`distance` for each choice of norms; faster where neighbours agree in many layers."""
        propagation, output = Propagation(self.nodes, radius), self.nodes[-1].name
        return [propagation.bounds(norms)[output].deviation for norms in choices]

    def rank_distances(self, radius: float) -> list[Decimal]:
        """`distance` where every layer is cut to rank 1, 2, ... up to the largest there is."""
        ranks = range(1, max(map_.largest_rank for map_ in self.maps) + 1)
        return self.distances(map(self.at_rank, ranks), radius)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionSetting:
    """The numbers that every compression bound shares.

    Attributes:
        bits_per_parameter: b, at least 1.
        examples: m, at least 2.
        delta: failure probability in (0, 1).
        loss_lipschitz: beta > 0, for ``|l(y, p) - l(y, q)| <= beta ||p - q||_2``.
        radius: R > 0, bounds the norm of the network's input.
        sides: 1 for the gap itself; 2 for its absolute value, as the source's form has it.
    """

    bits_per_parameter: int
    examples: int
    delta: float
    loss_lipschitz: float
    radius: float
    sides: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers outside the theorem's ranges.

        Raises:
            UsageError: naming the number.
        """
        require_count("b", self.bits_per_parameter)
        require_examples(self.examples)
        require_delta(self.delta)
        require_positive("beta", self.loss_lipschitz)
        require_positive("radius", self.radius)


def setting_terms(setting: CompressionSetting) -> dict[str, Any]:
    """The numbers that every compression bound shares."""
    return {
        "bits_per_parameter": setting.bits_per_parameter,
        "examples": setting.examples,
        "delta": setting.delta,
        "loss_lipschitz": setting.loss_lipschitz,
        "radius": setting.radius,
        **sides_terms(setting.sides),
    }


def network_terms(
    network: LayeredNetwork, norms: Mapping[str, LayerNorms], radius: float
) -> dict[str, Any]:
    """The graph and the norms that the distance is propagated from.

    Args:
        network: graph and layers.
        norms: of every layer against the compressed one.
        radius: bounds the norm of the input.

    Returns:
        ``network``: ``nodes`` (fields at their defaults left out), ``layers`` with sizes and
        norms, as plain numbers, and ``output_norm``, the bound on ``||h'(x)||`` that they give.
    """
    output = propagate(network.nodes, norms, radius)
    return {
        "network": {
            **with_logarithm("output_norm", output.radius),
            "nodes": _node_rows(network.nodes),
            "layers": [
                {
                    "name": map_.name,
                    "rows": map_.rows,
                    "columns": map_.columns,
                    "bias_parameters": map_.bias_parameters,
                    "is_diagonal": map_.is_diagonal,
                    **{
                        one.name: float(getattr(norms[map_.name], one.name))
                        for one in fields(LayerNorms)
                    },
                }
                for map_ in network.maps
            ],
        }
    }


def _node_rows(nodes: Sequence[GraphNode]) -> list[dict[str, Any]]:
    return [
        {
            name: value
            for name, default in _DEFAULTS.items()
            if (value := getattr(node, name)) != default
        }
        for node in nodes
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedMap(LinearMap):
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


def _read_map(row: Fields) -> _RecordedMap:
    norms = LayerNorms(**{one.name: row.number(one.name) for one in fields(LayerNorms)})
    plain, moved = float(norms.norm_upper), float(norms.moved_norm_upper)
    if moved not in (plain, math.nextafter(plain + float(norms.error_upper), math.inf)):
        raise UnusableField(row.path("moved_norm_upper"), moved, "the norm, or it plus the error")
    return _RecordedMap(
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
        elif name in {"shape", "contracted"}:
            values[name] = tuple(int(one) for one in row.numbers(name))
        elif name == "token_axis":
            values[name] = row.count(name)
        else:
            raise UnusableField(row.path(name), row.get(name), "a field of a node")
    node = GraphNode(**values)
    may_have_layer = node.kind in _PERHAPS_WITH_LAYER
    if node.kind not in get_args(NodeKind) or (
        not may_have_layer and (node.kind in _WITH_LAYER) != (node.layer is not None)
    ):
        raise UnusableField(row.path("kind"), node.kind, "a kind of node, with a layer if linear")
    counts = _INPUTS.get(node.kind, (1,))
    if node.kind not in _MANY_INPUTS and len(node.inputs) not in counts:
        raise UnusableField(row.path("inputs"), list(node.inputs), f"{counts[0]} earlier nodes")
    _check_axes(row, node)
    return node


def _check_axes(row: Fields, node: GraphNode) -> None:
    """Axes are counted from the end, and there."""
    axis = node.token_axis
    is_there = axis is None or (axis < 0 and (not node.shape or len(node.shape) >= -axis))
    is_last = node.kind in {"attention", "embedding"} or bool(node.contracted)
    if not is_there or (axis is None and node.kind == "softmax") or (is_last and axis != -1):
        raise UnusableField(row.path("token_axis"), axis, "an axis of the shape, from the end")
    if any(size < 1 for size in node.shape) or (not node.shape and node.kind in _OF_KNOWN_SHAPE):
        raise UnusableField(row.path("shape"), list(node.shape), "sizes of 1 or more")
    if node.contracted not in {(), (-1, -1), (-1, -2)}:
        raise UnusableField(row.path("contracted"), list(node.contracted), "axes of two matrices")


def read_setting(terms: Fields, delta: float) -> CompressionSetting:
    """The numbers that every compression bound shares, as recorded."""
    return CompressionSetting(
        bits_per_parameter=terms.count("bits_per_parameter"),
        examples=terms.count("examples"),
        delta=delta,
        loss_lipschitz=terms.number("loss_lipschitz"),
        radius=terms.number("radius"),
        sides=read_sides(terms),
    )


def stored_parameters(
    terms: Fields, network: LayeredNetwork, ranks: Mapping[str, int], whole: Sequence[str]
) -> int:
    """Numbers that are stored at recorded ranks.

    Args:
        terms: as recorded.
        network: its graph and layers.
        ranks: by layer.
        whole: the layers that are not factored.

    Raises:
        UnusableField: a layer has no rank, or one that is out of range.
    """
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
