"""The norms that pass through a network, and those of its layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from dlgen_cli.bounds.arithmetic import ONE, UPWARD, ZERO
from dlgen_cli.bounds.ranges import require_nonnegative
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
class Norms:
    """Upper bounds on one value in several norms.

    Attributes:
        whole: of its 2-norm.
        token: of the largest 2-norm of a token: a vector along the axis that its node names; of
            the whole value where the node names none.
        entry: of the largest magnitude of an entry.
        row_sum: of the largest 1-norm of a token; None where the others tell all that is known.
    """

    whole: Decimal
    token: Decimal
    entry: Decimal
    row_sum: Decimal | None = None

    @classmethod
    def of_whole(cls, whole: Decimal) -> Norms:
        """What the 2-norm alone says."""
        return cls(whole, whole, whole)


NOTHING = Norms.of_whole(ZERO)
UNIT = Norms.of_whole(ONE)


def entries_of(node: GraphNode) -> int | None:
    """Entries of a node's value; None where its shape is not on record."""
    if not node.shape:
        return None
    return math.prod(node.shape)


def size_along(node: GraphNode, axis: int) -> int | None:
    """Entries of a vector along an axis, counted from the end; None without such an axis."""
    return node.shape[axis] if len(node.shape) >= -axis else None


def tokens_of(node: GraphNode) -> int:
    """How many tokens a node's value has; 1 where it is one."""
    entries = entries_of(node)
    if entries is None or node.token_axis is None:
        return 1
    return entries // node.shape[node.token_axis]


@lru_cache(maxsize=4096)
def root(number: int) -> Decimal:
    """Square root, rounded upward."""
    exact = math.isqrt(number)
    if exact * exact == number:
        return Decimal(exact)
    return UPWARD.next_plus(UPWARD.sqrt(Decimal(number)))


@lru_cache(maxsize=4096)
def inverse_root(number: int) -> Decimal:
    """``1 / sqrt(number)``, rounded upward."""
    if number == 1:
        return ONE
    return UPWARD.next_plus(UPWARD.sqrt(UPWARD.divide(ONE, Decimal(number))))


def closed(norms: Norms, node: GraphNode) -> Norms:
    """The same bounds, each lowered to what the others allow.

    ``entry <= token <= whole <= sqrt(tokens) token`` and ``token <= sqrt(size) entry``.
    """
    entries = entries_of(node)
    whole, token, entry = norms.whole, norms.token, norms.entry
    if entries is None:
        token = min(token, whole)
        return Norms(whole, token, min(entry, token), norms.row_sum)
    tokens = tokens_of(node)
    token = min(token, whole, root(entries // tokens) * entry)
    whole = min(whole, root(tokens) * token, root(entries) * entry)
    return Norms(whole, min(token, whole), min(entry, token, whole), norms.row_sum)


def along(norms: Norms, node: GraphNode, axis: int, size: int | None = None) -> Decimal:
    """Bound the vectors along an axis, counted from the end, as broadcast to ``size`` entries.

    Args:
        norms: of the value.
        node: whose value it is.
        axis: negative.
        size: of the axis after broadcasting; that of the value where None.
    """
    own = size_along(node, axis)
    size = own if size is None else size
    by_entry = norms.entry * root(size) if size is not None else None
    if own != size:  # one entry, repeated
        return by_entry if by_entry is not None else norms.whole
    by_token = norms.token if node.token_axis in (None, axis) else norms.whole
    return by_token if by_entry is None else min(by_token, by_entry)
