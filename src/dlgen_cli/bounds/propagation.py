"""How far the output of a network moves when its layers do: radius and deviation on a graph.

Two networks h and h' share a graph and differ in their layers, ``W x + c`` against
``W' x + c'``. Two numbers pass through the graph: ``radius >= ||activation of h'||`` and
``deviation >= ||activation of h - activation of h'||``, for every input of norm at most R.

The table is for the 2-norm of the whole value. Beside it the largest 2-norm of a token and the
largest magnitude of an entry pass through, for they bound products, normalizations and attention:
`dlgen_cli.bounds.node_rules` has the rule of each kind.

    layer        ||W'|| radius + ||c'||     ||W|| deviation + ||W - W'|| radius + ||c - c'||
    lipschitz    min(gamma radius + ||f(0)||, cap)             min(gamma deviation, spread)
    sum          sum of coefficients times radii               the same of deviations
    concat       root of the sum of squares                    the same
    scale, pool  factor times radius                           factor times deviation
    f g          ||f'||_inf ||g'||                    ||g||_inf deviation_f + ||f'||_inf deviation_g
    normalize    min(gamma radius, cap)                        min(gamma deviation, 2 cap)

On a chain without biases the deviation is the telescoping sum of `dlgen_cli.bounds.compression`.

Source: the induction of Neyshabur, Bhojanapalli and Srebro 2018, Lemma 2,
https://arxiv.org/abs/1707.09564, with the norms of h and h' kept apart, carried from chains to
directed acyclic graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import ONE, ZERO, upward
from dlgen_cli.bounds.node_rule import Moves, Place, Values
from dlgen_cli.bounds.node_rules import RULES
from dlgen_cli.bounds.norms import NOTHING, UNIT, LayerNorms, Norms, Number, closed
from dlgen_cli.bounds.ranges import require_nonnegative
from dlgen_cli.errors import UsageError
from dlgen_cli.records import GraphNode


@dataclass(frozen=True, slots=True)
class Propagated:
    """Bounds at one node, rounded upward.

    Attributes:
        unmoved: on the activation of h.
        moved: on the activation of h'.
        moves: on their difference.
    """

    unmoved: Norms
    moved: Norms
    moves: Norms

    @property
    def radius(self) -> Decimal:
        """On ``||activation of h'||``."""
        return self.moved.whole

    @property
    def deviation(self) -> Decimal:
        """On ``||activation of h - activation of h'||``."""
        return self.moves.whole


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What a layer's error costs at the output, for each unit; rounded upward.

    Attributes:
        weight: factor of ``||W - W'||``.
        bias: factor of ``||c - c'||``.
    """

    weight: Decimal
    bias: Decimal


def propagate(
    nodes: Sequence[GraphNode], layers: Mapping[str, LayerNorms], radius: Number
) -> Propagated:
    """Bound the output of h' and its distance to that of h.

    Args:
        nodes: of a traced network, in the order of evaluation; the last is the output.
        layers: norms of every layer that a node names.
        radius: R, bounds the norm of the input.

    Returns:
        Bounds at the output. A layer that is called twice counts at both places.

    Raises:
        UsageError: a node has no rule, a layer has no norms, or a number is out of its range.
    """
    return propagate_all(nodes, layers, radius)[nodes[-1].name]


def propagate_all(
    nodes: Sequence[GraphNode], layers: Mapping[str, LayerNorms], radius: Number
) -> dict[str, Propagated]:
    """The bounds of `propagate` at every node, by name."""
    return Propagation(nodes, radius).bounds(layers)


class Propagation:
    """The bounds of `propagate` for one choice of norms after another, on one graph.

    Norms of neighbouring choices, such as those of rank r and of rank r + 1, agree in many layers:
    a node is bounded anew only where its layer or what stands before it has changed.
    """

    def __init__(self, nodes: Sequence[GraphNode], radius: Number) -> None:
        """Take the graph and the bound on its input.

        Raises:
            UsageError: a node has no rule, or the radius is out of its range.
        """
        require_nonnegative("the radius", float(radius))
        _require_rules(nodes)
        by_name = {node.name: node for node in nodes}
        self._nodes = [(node, [by_name[name] for name in node.inputs]) for node in nodes]
        self._input = Norms.of_whole(Decimal(radius))
        self._layers: dict[str, LayerNorms] = {}
        self._last: dict[str, _Bounded] = {}

    @upward
    def bounds(self, layers: Mapping[str, LayerNorms]) -> dict[str, Propagated]:
        """Bounds at every node, by name.

        Args:
            layers: norms of every layer that a node names.

        Raises:
            UsageError: a layer has no norms, or a number is out of its range.
        """
        self._check(layers)
        found: dict[str, Propagated] = {}
        for node, inputs in self._nodes:
            if node.kind == "input":
                found[node.name] = Propagated(self._input, self._input, NOTHING)
                continue
            place = Place(node, inputs, layers[node.layer] if node.layer is not None else None)
            before = [found[name] for name in node.inputs]
            last = self._last.get(node.name)
            if last is None or last.layer != place.layer or last.before != before:
                last = self._last[node.name] = _bounded(place, before, last)
            found[node.name] = last.bounds
        return found

    def _check(self, layers: Mapping[str, LayerNorms]) -> None:
        for node, _ in self._nodes:
            if node.layer is not None and node.layer not in layers:
                raise UsageError(f"The layer {node.layer} has no norms.")
        for name, norms in layers.items():
            if norms != self._layers.get(name):
                norms.check(name)
                self._layers[name] = norms


@dataclass(frozen=True, slots=True)
class _Bounded:
    """What a node was bounded from, and its bounds."""

    layer: LayerNorms | None
    before: Sequence[Propagated]
    moves: Moves
    bounds: Propagated


def _bounded(place: Place, before: Sequence[Propagated], last: _Bounded | None) -> _Bounded:
    """Bounds at one node; values of the same norms as last time are those of last time."""
    node, rule, moves = place.node, RULES[place.node.kind], _moves(place, before)

    def value(values: Values) -> Norms:
        return closed(rule.value(place, values), node)

    if last is not None and last.moves.unmoved == moves.unmoved:
        unmoved = last.bounds.unmoved
    else:
        unmoved = value(moves.unmoved)
    moved = unmoved if moves.moved == moves.unmoved else value(moves.moved)
    bounds = Propagated(unmoved, moved, closed(rule.move(place, moves), node))
    return _Bounded(place.layer, before, moves, bounds)


def _place(
    node: GraphNode, by_name: Mapping[str, GraphNode], layers: Mapping[str, LayerNorms]
) -> Place:
    layer = layers[node.layer] if node.layer is not None else None
    return Place(node, [by_name[name] for name in node.inputs], layer)


def _moves(place: Place, before: Sequence[Propagated]) -> Moves:
    """What is known before a node, with the norms of its layer in both networks."""
    unmoved, moved = [one.unmoved for one in before], [one.moved for one in before]
    moves = [one.moves for one in before]
    norms = place.layer
    if norms is None:
        return Moves(Values(unmoved), Values(moved), moves)
    bias = Decimal(norms.moved_bias_norm_upper)
    return Moves(
        Values(unmoved, Decimal(norms.norm_upper), bias + Decimal(norms.bias_error_upper)),
        Values(moved, Decimal(norms.moved_norm_upper), bias),
        moves,
    )


def sensitivities(
    nodes: Sequence[GraphNode], layers: Mapping[str, LayerNorms], radius: Number
) -> dict[str, Sensitivity]:
    """The output's deviation as a linear function of the errors of the layers.

    ``deviation <= sum_n weight_n ||W_n - W'_n|| + bias_n ||c_n - c'_n||`` whenever every
    ``||W'_n||`` and ``||c'_n||`` is at most the ``moved`` norm in ``layers``; take those of the
    unmoved network for a truncation that keeps the biases. A concatenation counts as the sum of
    its branches, which is at least the root of the sum of squares, and what bounded values say of
    their distance is not used: `propagate` may be smaller.

    Args:
        nodes: as in `propagate`.
        layers: as in `propagate`; their errors are not read.
        radius: R.

    Returns:
        By layer, in the order of ``layers``' use. A layer that is called twice has the sum.

    Raises:
        UsageError: see `propagate`.
    """
    return _sweep_back(nodes, layers, propagate_all(nodes, layers, radius))


@upward
def _sweep_back(
    nodes: Sequence[GraphNode],
    layers: Mapping[str, LayerNorms],
    found: Mapping[str, Propagated],
) -> dict[str, Sensitivity]:
    weights = {node.layer: ZERO for node in nodes if node.layer is not None}
    biases = dict(weights)
    by_name = {node.name: node for node in nodes}
    at_rest = {
        name: replace(one, error_upper=ZERO, bias_error_upper=ZERO) for name, one in layers.items()
    }
    gains = dict.fromkeys(by_name, ZERO)
    gains[nodes[-1].name] = ONE
    for node in reversed(nodes):
        if node.kind == "input":
            continue
        gain, before = gains[node.name], [found[name] for name in node.inputs]
        if node.layer is not None:
            weights[node.layer] += gain * _gain_of_error(node, by_name, before)
            biases[node.layer] += gain
        place = _place(node, by_name, at_rest)
        for index, name in enumerate(node.inputs):
            gains[name] += gain * _gain(place, before, index)
    return {name: Sensitivity(weight, biases[name]) for name, weight in weights.items()}


def _gain(place: Place, before: Sequence[Propagated], index: int) -> Decimal:
    """How far a node moves, at most, when one of its inputs moves by 1 in the 2-norm."""
    known = _moves(place, before)
    units = [UNIT if one == index else NOTHING for one in range(len(before))]
    moves = replace(known, moves=units, is_capped=False)
    return closed(RULES[place.node.kind].move(place, moves), place.node).whole


def _gain_of_error(
    node: GraphNode, by_name: Mapping[str, GraphNode], before: Sequence[Propagated]
) -> Decimal:
    """How far a node moves, at most, when the weight of its layer moves by 1."""
    unit = LayerNorms(norm_upper=ONE, moved_norm_upper=ONE, error_upper=ONE)
    place = Place(node, [by_name[name] for name in node.inputs], unit)
    still = replace(_moves(place, before), moves=[NOTHING] * len(before), is_capped=False)
    return RULES[node.kind].move(place, still).whole


def _require_rules(nodes: Sequence[GraphNode]) -> None:
    for node in nodes:
        if node.kind == "unsupported":
            raise UsageError(
                f"The bound does not apply: there is no rule for {node.name} ({node.reason}).",
                remedy="Audit a network without this operation.",
            )
