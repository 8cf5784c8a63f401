"""What each kind of node does to norms, and to how far its value moves.

For every kind there are two functions. One bounds the value from bounds on the inputs' values; it
serves h and h' alike. The other bounds how far the value of h' is from that of h, from bounds on
both values of the inputs and on how far those have moved. Both treat the norms of
`dlgen_cli.bounds.norms.Norms`; those of a token and of an entry only ever lower the bounds on the
whole, which alone are those of `dlgen_cli.bounds.propagation`.

Those of products, attention and the like stand in `dlgen_cli.bounds.contraction_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from dlgen_cli.bounds import contraction_rules
from dlgen_cli.bounds.arithmetic import ONE, ZERO
from dlgen_cli.bounds.node_rule import Moves, Place, Rule, Values, added, least, scaled
from dlgen_cli.bounds.norms import (
    NOTHING,
    LayerNorms,
    Norms,
    along,
    entries_of,
    inverse_root,
    root,
    size_along,
    tokens_of,
)
from dlgen_cli.errors import UsageError
from dlgen_cli.records import GraphNode

TWO = Decimal(2)
_LARGEST_EXPONENT = Decimal(10) ** 15


def _layer_of(place: Place) -> LayerNorms:
    if place.layer is None:
        raise UsageError(f"The node {place.node.name} names no layer.")
    return place.layer


def _affine(place: Place, norms: Norms, weight: Decimal, bias: Decimal) -> Norms:
    """``W x + c`` for any ``||W|| <= weight`` and ``||c|| <= bias`` over the whole value.

    A layer that its node gives tokens acts on each alone, with the same constant.
    """
    node = place.node
    whole = weight * norms.whole + bias
    of_one = bias * inverse_root(tokens_of(node))
    token = whole
    if node.token_axis is not None:
        token = weight * along(norms, place.before[0], node.token_axis) + of_one
    is_diagonal = node.kind != "linear"
    return Norms(whole, token, weight * norms.entry + of_one if is_diagonal else token)


def _layer_value(place: Place, values: Values) -> Norms:
    return _affine(place, values.norms[0], values.weight, values.bias)


def _layer_move(place: Place, moves: Moves) -> Norms:
    layer = _layer_of(place)
    moved = _affine(place, moves.moved.norms[0], Decimal(layer.error_upper), ZERO)
    kept = _affine(place, moves.moves[0], Decimal(layer.norm_upper), ZERO)
    shift = _affine(place, NOTHING, ZERO, Decimal(layer.bias_error_upper))
    return added(added(kept, moved), shift)


def _normalized(place: Place, norms: Norms) -> Norms:
    node, factor = place.node, Decimal(place.node.factor_upper)
    token = norms.whole
    if node.token_axis is not None:
        token = along(norms, place.before[0], node.token_axis)
    return Norms(factor * norms.whole, factor * token, factor * token)


def _normalization_value(place: Place, values: Values) -> Norms:
    node = place.node
    found = _normalized(place, values.norms[0])
    if node.cap_upper is not None:
        found = least(found, _caps(node, Decimal(node.cap_upper)))
    return _affine(_inside(place), found, values.weight, values.bias)


def _caps(node: GraphNode, cap: Decimal) -> Norms:
    token, entry = node.token_cap_upper, node.entry_cap_upper
    return Norms(
        cap,
        cap if token is None else Decimal(token),
        cap if entry is None else Decimal(entry),
    )


def _inside(place: Place) -> Place:
    """The diagonal map after a normalization: what it reads has the shape of the result."""
    return Place(place.node, [place.node], place.layer)


def _normalization_move(place: Place, moves: Moves) -> Norms:
    node = place.node
    moved = _normalized(place, moves.moves[0])
    value = _normalized(place, moves.moved.norms[0])
    if node.cap_upper is not None:
        caps = _caps(node, Decimal(node.cap_upper))
        value = least(value, caps)
        if moves.is_capped:
            moved = least(moved, scaled(caps, TWO))
    if place.layer is None:
        return moved
    inside = Moves(Values([value]), Values([value]), [moved], moves.is_capped)
    return _layer_move(_inside(place), inside)


def _prelu_value(_: Place, values: Values) -> Norms:
    return scaled(values.norms[0], max(ONE, values.weight))


def _prelu_move(place: Place, moves: Moves) -> Norms:
    layer = _layer_of(place)
    kept = scaled(moves.moves[0], max(ONE, Decimal(layer.norm_upper)))
    return added(kept, scaled(moves.moved.norms[0], Decimal(layer.error_upper)))


def _constant_value(place: Place, values: Values) -> Norms:
    """The layer of a stored constant is the map that takes 1 to it."""
    if place.layer is not None:
        return Norms.of_whole(values.weight)
    return _caps(place.node, Decimal(place.node.offset_upper))


def _constant_move(place: Place, _: Moves) -> Norms:
    return NOTHING if place.layer is None else Norms.of_whole(Decimal(place.layer.error_upper))


def _embedding_value(place: Place, values: Values) -> Norms:
    tokens = root(tokens_of(place.node))
    return Norms(tokens * values.weight, values.weight, values.weight)


def _embedding_move(place: Place, _: Moves) -> Norms:
    error = Decimal(_layer_of(place).error_upper)
    return Norms(root(tokens_of(place.node)) * error, error, error)


def _factors(place: Place) -> list[Decimal]:
    node = place.node
    if node.kind == "sum":
        return [Decimal(one) for one in node.coefficients_upper]
    return [Decimal(node.factor_upper)] * len(node.inputs)


def _pointwise(place: Place, norms: Norms) -> Norms:
    """``factor_upper`` in every norm; tokens stay where their axis does."""
    factor, node = Decimal(place.node.factor_upper), place.node
    token = norms.whole
    if node.token_axis is not None:
        token = along(norms, place.before[0], node.token_axis, size_along(node, node.token_axis))
    return Norms(factor * norms.whole, factor * token, factor * norms.entry)


def _even(node: GraphNode, whole: Decimal) -> Norms:
    """A value whose entries are equal, of this norm."""
    entries = entries_of(node)
    if entries is None:
        return Norms.of_whole(whole)
    return Norms(whole, whole * inverse_root(tokens_of(node)), whole * inverse_root(entries))


def _pointwise_value(place: Place, values: Values) -> Norms:
    node = place.node
    found = _pointwise(place, values.norms[0])
    if node.offset_upper:
        found = added(found, _even(node, Decimal(node.offset_upper)))
    if node.cap_upper is not None:
        found = least(found, _even(node, Decimal(node.cap_upper)))
    return found


def _pointwise_move(place: Place, moves: Moves) -> Norms:
    found, spread = _pointwise(place, moves.moves[0]), place.node.spread_upper
    if spread is None or not moves.is_capped:
        return found
    return least(found, _even(place.node, Decimal(spread)))


def _sum_of(place: Place, norms: Sequence[Norms]) -> Norms:
    """Each term times its coefficient, which counts how often broadcasting copies it."""
    node, entries = place.node, entries_of(place.node)
    whole = token = entry = ZERO
    for factor, value, before in zip(_factors(place), norms, place.before, strict=True):
        own = entries_of(before)
        whole += factor * value.whole
        once = factor
        if own is not None and entries is not None and entries > own:
            once = factor * (Decimal(own) / entries).sqrt().next_plus()
        entry += once * value.entry
        if node.token_axis is not None:
            size = size_along(node, node.token_axis)
            token += once * along(value, before, node.token_axis, size)
    return Norms(whole, whole if node.token_axis is None else token, entry)


def _linear_of(of: Callable[[Place, Sequence[Norms]], Norms]) -> Rule:
    """A map without a constant: what moves is bounded as what is there."""
    return Rule(
        value=lambda place, values: of(place, values.norms),
        move=lambda place, moves: of(place, moves.moves),
    )


def _side_by_side(place: Place, norms: Sequence[Norms]) -> Norms:
    axis = place.node.token_axis
    token = ZERO
    if axis is not None:
        rows = [along(one, node, axis) for one, node in zip(norms, place.before, strict=True)]
        sizes = {size_along(node, axis) for node in place.before}
        is_longer = sizes != {size_along(place.node, axis)}
        token = _root_of_squares(rows) if is_longer else max(rows)
    whole = _root_of_squares([one.whole for one in norms])
    return Norms(whole, whole if axis is None else token, max(one.entry for one in norms))


def _root_of_squares(values: Sequence[Decimal]) -> Decimal:
    """``sqrt(sum x^2)``, upward: decimal roots are rounded to nearest, so one unit is added."""
    present = [value for value in values if value]
    if len(present) < 2:
        return max(present, default=ZERO)
    total = ZERO
    for value in present:
        total += value * value
    return total.sqrt().next_plus()


def _rearranged(place: Place, norms: Sequence[Norms]) -> Norms:
    """A token is a part of a token, or is put together of several."""
    value, node, before = norms[0], place.node, place.before[0]
    whole = Decimal(node.factor_upper) * value.whole
    if node.token_axis is None:
        return Norms(whole, whole, value.entry)
    parts, sum_of_rows = 1, value.row_sum
    if before.token_axis is not None and before.shape and node.shape:
        size, own = node.shape[node.token_axis], before.shape[before.token_axis]
        parts = max(1, -(-size // own))
    elif before.token_axis is None:
        sum_of_rows = None
    if sum_of_rows is not None:
        sum_of_rows *= parts
    return Norms(whole, root(parts) * value.token, value.entry, sum_of_rows)


def _windows(place: Place, norms: Sequence[Norms]) -> Norms:
    """Largest entries of windows."""
    whole = Decimal(place.node.factor_upper) * norms[0].whole
    return Norms(whole, whole, norms[0].entry)


def _fixed(place: Place, norms: Norms) -> Norms:
    """A linear map without parameters."""
    node = place.node
    whole = Decimal(node.factor_upper) * norms.whole
    token = entry = whole
    if node.token_factor_upper is not None and node.token_axis is not None:
        token = Decimal(node.token_factor_upper) * norms.token
    if node.entry_factor_upper is not None:
        entry = Decimal(node.entry_factor_upper) * norms.entry
    return Norms(whole, token, entry)


def _fixed_value(place: Place, values: Values) -> Norms:
    offset = Norms.of_whole(Decimal(place.node.offset_upper))
    return added(_fixed(place, values.norms[0]), offset)


def _exp(entry: Decimal) -> Decimal:
    if entry > _LARGEST_EXPONENT:
        raise UsageError(f"An exponential of entries up to {entry:.3g} is out of range.")
    return entry.exp().next_plus()


def _exp_value(place: Place, values: Values) -> Norms:
    entry = _exp(values.norms[0].entry)
    whole = entry * root(entries_of(place.node) or 1)
    return Norms(whole, whole, entry)


def _exp_move(_: Place, moves: Moves) -> Norms:
    """Its slope at a point is its value, and both points are within the larger of two radii."""
    largest = max(one.norms[0].entry for one in (moves.unmoved, moves.moved))
    return scaled(moves.moves[0], _exp(largest))


RULES: Mapping[str, Rule] = {
    "linear": Rule(_layer_value, _layer_move),
    "diagonal": Rule(_layer_value, _layer_move),
    "lipschitz": Rule(_pointwise_value, _pointwise_move),
    "sum": _linear_of(_sum_of),
    "concat": _linear_of(_side_by_side),
    "scale": Rule(_fixed_value, lambda place, moves: _fixed(place, moves.moves[0])),
    "max_pool": _linear_of(_windows),
    "identity": _linear_of(_rearranged),
    "constant": Rule(_constant_value, _constant_move),
    "embedding": Rule(_embedding_value, _embedding_move),
    "normalization": Rule(_normalization_value, _normalization_move),
    "prelu": Rule(_prelu_value, _prelu_move),
    "exp": Rule(_exp_value, _exp_move),
    "product": contraction_rules.PRODUCT,
    "matmul": contraction_rules.MATMUL,
    "softmax": contraction_rules.SOFTMAX,
    "attention": contraction_rules.ATTENTION,
}
