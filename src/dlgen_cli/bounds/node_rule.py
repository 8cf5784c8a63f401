"""What a rule for a kind of node is given, and what it tells.

A rule has two functions. One bounds the value of a node from bounds on the values of its inputs;
the other bounds how far it moves from one network to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import ONE, ZERO
from dlgen_cli.bounds.norms import LayerNorms, Norms
from dlgen_cli.records import GraphNode


@dataclass(frozen=True, slots=True)
class Place:
    """A node with the nodes of its inputs and the norms of its layer, if it has one."""

    node: GraphNode
    before: Sequence[GraphNode]
    layer: LayerNorms | None


@dataclass(frozen=True, slots=True)
class Values:
    """Bounds on the inputs of a node, in order, in one of the two networks.

    Attributes:
        norms: of each input.
        weight: norm of the node's layer there; 1 without one.
        bias: norm of its bias there.
    """

    norms: Sequence[Norms]
    weight: Decimal = ONE
    bias: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Moves:
    """What is known of both networks at a node's inputs.

    Attributes:
        unmoved: values of h.
        moved: values of h'.
        moves: how far each input moves.
        is_capped: whether bounds on values limit how far the result moves; otherwise the bound is
            linear in ``moves``.
    """

    unmoved: Values
    moved: Values
    moves: Sequence[Norms]
    is_capped: bool = True


#: A map of norms: of one value to those of the result.
ValueRule = Callable[[Place, Values], Norms]
MoveRule = Callable[[Place, Moves], Norms]


@dataclass(frozen=True, slots=True)
class Rule:
    """The two functions of a kind."""

    value: ValueRule
    move: MoveRule


def added(left: Norms, right: Norms) -> Norms:
    """Bounds on a sum."""
    return Norms(left.whole + right.whole, left.token + right.token, left.entry + right.entry)


def scaled(norms: Norms, factor: Decimal) -> Norms:
    """Bounds on a multiple."""
    return Norms(norms.whole * factor, norms.token * factor, norms.entry * factor)


def least(left: Norms, right: Norms) -> Norms:
    """What two bounds on one value say together."""
    sums = [one.row_sum for one in (left, right) if one.row_sum is not None]
    return Norms(
        min(left.whole, right.whole),
        min(left.token, right.token),
        min(left.entry, right.entry),
        min(sums, default=None),
    )


def by_values(moves: Moves, moved: Norms, place: Place, value: ValueRule) -> Norms:
    """``||f - f'|| <= ||f|| + ||f'||``, where values limit how far the result moves."""
    if not moves.is_capped:
        return moved
    return least(moved, added(value(place, moves.unmoved), value(place, moves.moved)))
