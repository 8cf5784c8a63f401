"""How far the output of a network moves when its layers do: radius and deviation on a graph.

Two networks h and h' share a graph and differ in their layers, ``W x + c`` against
``W' x + c'``. Two numbers pass through the graph: ``radius >= ||activation of h'||`` and
``deviation >= ||activation of h - activation of h'||``, for every input of norm at most R.

    layer        ||W'|| radius + ||c'||     ||W|| deviation + ||W - W'|| radius + ||c - c'||
    lipschitz    min(gamma radius + ||f(0)||, cap)             min(gamma deviation, spread)
    sum          sum of coefficients times radii               the same of deviations
    concat       root of the sum of squares                    the same
    scale, pool  factor times radius                           factor times deviation

On a chain without biases the deviation is the telescoping sum of `dlgen_cli.bounds.compression`.

Source: the induction of Neyshabur, Bhojanapalli and Srebro 2018, Lemma 2,
https://arxiv.org/abs/1707.09564, with the norms of h and h' kept apart, carried from chains to
directed acyclic graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import ONE, ZERO, upward
from dlgen_cli.bounds.ranges import require_nonnegative
from dlgen_cli.errors import UsageError
from dlgen_cli.records import GraphNode

Number = float | Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorms:
    """Upper bounds on the norms of one layer, as operators between its activations.

    Attributes:
        norm_upper: of ``||W||``.
        moved_norm_upper: of ``||W'||``.
        error_upper: of ``||W - W'||``.
        moved_bias_norm_upper: of ``||c'||``, over the whole output.
        bias_error_upper: of ``||c - c'||``, over the whole output.
    """

    norm_upper: Number
    moved_norm_upper: Number
    error_upper: Number = 0.0
    moved_bias_norm_upper: Number = 0.0
    bias_error_upper: Number = 0.0

    @classmethod
    def unmoved(cls, norm_upper: Number, bias_norm_upper: Number = 0.0) -> LayerNorms:
        """The norms of a layer that h and h' share."""
        return cls(
            norm_upper=norm_upper,
            moved_norm_upper=norm_upper,
            moved_bias_norm_upper=bias_norm_upper,
        )

    def check(self, name: str) -> None:
        """Refuse numbers that are no norms.

        Raises:
            UsageError: naming the layer.
        """
        for what, value in (
            ("norm", self.norm_upper),
            ("moved norm", self.moved_norm_upper),
            ("error", self.error_upper),
            ("bias norm", self.moved_bias_norm_upper),
            ("bias error", self.bias_error_upper),
        ):
            if isinstance(value, Decimal) and value.is_finite() and value >= 0:
                continue  # a decimal may exceed the range of floats
            require_nonnegative(f"the {what} of {name}", float(value))


@dataclass(frozen=True, slots=True)
class Propagated:
    """Bounds at one node, rounded upward.

    Attributes:
        radius: on ``||activation of h'||``.
        deviation: on ``||activation of h - activation of h'||``.
    """

    radius: Decimal
    deviation: Decimal


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


@upward
def propagate_all(
    nodes: Sequence[GraphNode], layers: Mapping[str, LayerNorms], radius: Number
) -> dict[str, Propagated]:
    """The bounds of `propagate` at every node, by name."""
    _check(nodes, layers, radius)
    found: dict[str, Propagated] = {}
    for node in nodes:
        before = [found[name] for name in node.inputs]
        if node.kind == "input":
            found[node.name] = Propagated(Decimal(radius), ZERO)
        elif node.layer is not None:
            found[node.name] = _through_layer(layers[node.layer], before[0])
        else:
            found[node.name] = _through_rule(node, before)
    return found


def sensitivities(
    nodes: Sequence[GraphNode], layers: Mapping[str, LayerNorms], radius: Number
) -> dict[str, Sensitivity]:
    """The output's deviation as a linear function of the errors of the layers.

    ``deviation <= sum_n weight_n ||W_n - W'_n|| + bias_n ||c_n - c'_n||`` whenever every
    ``||W'_n||`` and ``||c'_n||`` is at most the ``moved`` norm in ``layers``; take those of the
    unmoved network for a truncation that keeps the biases. A concatenation counts as the sum of
    its branches, which is at least the root of the sum of squares, and the spread of a bounded
    activation is not used: `propagate` may be smaller.

    Args:
        nodes: as in `propagate`.
        layers: as in `propagate`; their errors are not read.
        radius: R.

    Returns:
        By layer, in the order of ``layers``' use. A layer that is called twice has the sum.

    Raises:
        UsageError: see `propagate`.
    """
    radii = {name: one.radius for name, one in propagate_all(nodes, layers, radius).items()}
    return _sweep_back(nodes, layers, radii)


@upward
def _sweep_back(
    nodes: Sequence[GraphNode], layers: Mapping[str, LayerNorms], radii: Mapping[str, Decimal]
) -> dict[str, Sensitivity]:
    weights = {node.layer: ZERO for node in nodes if node.layer is not None}
    biases = dict(weights)
    gains = dict.fromkeys((node.name for node in nodes), ZERO)
    gains[nodes[-1].name] = ONE
    for node in reversed(nodes):
        gain = gains[node.name]
        if node.layer is not None:
            weights[node.layer] += gain * radii[node.inputs[0]]
            biases[node.layer] += gain
            gains[node.inputs[0]] += gain * Decimal(layers[node.layer].norm_upper)
            continue
        for name, factor in zip(node.inputs, _factors(node), strict=True):
            gains[name] += gain * factor
    return {name: Sensitivity(weight, biases[name]) for name, weight in weights.items()}


def _through_layer(norms: LayerNorms, before: Propagated) -> Propagated:
    moved, error = Decimal(norms.moved_norm_upper), Decimal(norms.error_upper)
    return Propagated(
        radius=moved * before.radius + Decimal(norms.moved_bias_norm_upper),
        deviation=Decimal(norms.norm_upper) * before.deviation
        + error * before.radius
        + Decimal(norms.bias_error_upper),
    )


def _through_rule(node: GraphNode, before: Sequence[Propagated]) -> Propagated:
    if node.kind == "concat":
        return Propagated(
            radius=_root_of_squares([one.radius for one in before]),
            deviation=_root_of_squares([one.deviation for one in before]),
        )
    factors = _factors(node)
    radius = _weighted(factors, [one.radius for one in before]) + Decimal(node.offset_upper)
    deviation = _weighted(factors, [one.deviation for one in before])
    if node.cap_upper is not None:
        radius = min(radius, Decimal(node.cap_upper))
    if node.spread_upper is not None:
        deviation = min(deviation, Decimal(node.spread_upper))
    return Propagated(radius, deviation)


def _factors(node: GraphNode) -> list[Decimal]:
    """The Lipschitz constant of a node in each of its inputs."""
    if node.kind == "sum":
        return [Decimal(one) for one in node.coefficients_upper]
    return [Decimal(node.factor_upper)] * len(node.inputs)


def _weighted(factors: Sequence[Decimal], values: Sequence[Decimal]) -> Decimal:
    total = ZERO
    for factor, value in zip(factors, values, strict=True):
        total += factor * value
    return total


def _root_of_squares(values: Sequence[Decimal]) -> Decimal:
    """``sqrt(sum x^2)``, upward: decimal roots are rounded to nearest, so one unit is added."""
    total = ZERO
    for value in values:
        total += value * value
    return total.sqrt().next_plus() if total else ZERO


def _check(nodes: Sequence[GraphNode], layers: Mapping[str, LayerNorms], radius: Number) -> None:
    require_nonnegative("the radius", float(radius))
    for node in nodes:
        if node.kind == "unsupported":
            raise UsageError(
                f"The bound does not apply: there is no rule for {node.name} ({node.reason}).",
                remedy="Audit a network without this operation.",
            )
        if node.layer is not None and node.layer not in layers:
            raise UsageError(f"The layer {node.layer} has no norms.")
    for name, norms in layers.items():
        norms.check(name)
