"""What products, products of matrices, softmax and attention do to norms.

A map that is bilinear, ``B(f, g)``, moves by at most ``||B(f - f', g)|| + ||B(f', g - g')||``:
products, products of matrices, and attention are bounded so.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import ONE
from dlgen_cli.bounds.node_rule import Moves, Place, Rule, Values, added, by_values
from dlgen_cli.bounds.norms import Norms, along, entries_of, root, size_along, tokens_of

TWO = Decimal(2)


def _bilinear(of: Callable[[Place, Norms, Norms], Norms]) -> Rule:
    def value(place: Place, values: Values) -> Norms:
        left, right = values.norms
        return of(place, left, right)

    def move(place: Place, moves: Moves) -> Norms:
        (one, two), (left, right) = moves.unmoved.norms, moves.moves
        first = moves.moved.norms[0]
        del one
        found = added(of(place, left, two), of(place, first, right))
        return by_values(moves, found, place, value)

    return Rule(value, move)


def _product(place: Place, left: Norms, right: Norms) -> Norms:
    """``||f g|| <= ||f||_inf ||g||`` and the other way round, each broadcast to the result."""
    node, entries = place.node, entries_of(place.node)
    # a value without axes, such as one stored number, is one entry
    owns = [entries_of(before) or 1 for before in place.before]
    copies = [root(-(-entries // own)) if entries else ONE for own in owns]
    whole = min(left.entry * right.whole * copies[1], right.entry * left.whole * copies[0])
    token, axis = whole, node.token_axis
    if axis is not None:
        size = size_along(node, axis)
        one, two = place.before
        token = min(
            left.entry * along(right, two, axis, size), right.entry * along(left, one, axis, size)
        )
    return Norms(whole, token, left.entry * right.entry)


def _matmul(place: Place, left: Norms, right: Norms) -> Norms:
    """``sum_c f_ic g_cj``.

    A row of the result is a combination of rows of g: its 2-norm is at most the 1-norm of a row of
    f times the largest 2-norm of a row of g. An entry is a product of two vectors along the axes
    that are summed over. And no norm of the whole exceeds the product of both 2-norms.
    """
    node = place.node
    whole = left.whole * right.whole
    if not node.contracted:
        return Norms.of_whole(whole)
    one, two = place.before
    first, second = node.contracted
    other = -1 if second == -2 else -2
    row = along(left, one, first)
    row_sum = row * root(size_along(one, first) or entries_of(one) or 1)
    if left.row_sum is not None and one.token_axis == first:
        row_sum = min(row_sum, left.row_sum)
    token = min(row_sum * along(right, two, other), row * right.whole)
    entry = min(row * along(right, two, second), row_sum * right.entry)
    return Norms(whole, token, entry)


def _softmax_value(place: Place, _: Values) -> Norms:
    return Norms(root(tokens_of(place.node)), ONE, ONE, ONE)


def _softmax_move(_: Place, moves: Moves) -> Norms:
    """Its Jacobian ``diag(p) - p p^T`` has norm 1/2 at most, and from inf to 1 norm 1 at most.

    For ``|x_i| <= 1`` the 1-norm of its image is ``sum_i p_i |x_i - p^T x|``, the mean absolute
    deviation of a variable in [-1, 1], which is at most 1. Two rows, of sum 1 both, are at most 2
    apart in the 1-norm; as their difference has the sum 0, no entry moves by more than half of it.
    """
    before = moves.moves[0]
    half = ONE / 2
    row_sum = before.entry
    if moves.is_capped:
        row_sum = min(row_sum, TWO)
    return Norms(half * before.whole, min(half * before.whole, row_sum), row_sum * half, row_sum)


def _scores(place: Place, query: Norms, key: Norms) -> Decimal:
    """The largest magnitude of ``factor q k^T``."""
    factor = Decimal(place.node.factor_upper)
    return factor * along(query, place.before[0], -1) * along(key, place.before[1], -1)


def _attention_value(place: Place, values: Values) -> Norms:
    """Every row is a mean of rows of v."""
    token = along(values.norms[2], place.before[2], -1)
    return Norms(token * root(tokens_of(place.node)), token, values.norms[2].entry)


def _attention_move(place: Place, moves: Moves) -> Norms:
    """``(A - A') v' + A (v - v')`` with rows of A of sum 1, which move as `_softmax_move` tells."""
    query, key = moves.unmoved.norms[0], moves.moved.norms[1]
    score = _scores(place, moves.moves[0], key) + _scores(place, query, moves.moves[1])
    for bias in moves.moves[3:]:
        score += bias.entry
    if moves.is_capped:
        score = min(score, TWO)
    value = place.before[2]
    of_values, moved = moves.moved.norms[2], moves.moves[2]
    token = score * along(of_values, value, -1) + along(moved, value, -1)
    entry = score * of_values.entry + moved.entry
    found = Norms(token * root(tokens_of(place.node)), token, entry)
    return by_values(moves, found, place, _attention_value)


PRODUCT = _bilinear(_product)
MATMUL = _bilinear(_matmul)
SOFTMAX = Rule(_softmax_value, _softmax_move)
ATTENTION = Rule(_attention_value, _attention_move)
