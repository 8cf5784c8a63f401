"""Products of matrices of activations, softmax, and attention: which axes they are taken along.

What these do to norms is told in `dlgen_cli.bounds.contraction_rules`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from dlgen_cli.networks.calls import Activation, Call, Constant, NoRuleError
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.networks.token_axes import from_end, is_axis
from dlgen_cli.records import GraphNode


def softmax(call: Call) -> GraphNode:
    """``softmax`` along one axis, which becomes that of the tokens."""
    return call.becomes("softmax", token_axis=_axis(call))


def log_softmax(call: Call) -> GraphNode:
    """``log_softmax``: ``sqrt(d)``-Lipschitz for d entries, and ``-ln d`` everywhere at zero.

    Its Jacobian is ``I - 1 p^T``, an oblique projection, whose norm is ``||1|| ||p|| <= sqrt(d)``;
    its rows have 1-norms of at most 2.
    """
    axis = _axis(call)
    size, entries = call.example_shape[axis], math.prod(call.example_shape)
    at_zero = math.log(size) * (1 + 2.0**-50)
    return call.becomes(
        "lipschitz",
        factor_upper=max(2.0, root_upper(size)),
        offset_upper=root_upper(entries) * at_zero * (1 + 2.0**-50),
    )


def _axis(call: Call) -> int:
    first, axis = call.only(), call.setting("dim", None)
    if first.shape is None or not isinstance(axis, int):
        raise NoRuleError("it names no axis")
    axis = from_end(axis, len(first.shape))
    if not is_axis(call, axis):
        raise NoRuleError("it is taken over the batch")
    return axis


def matmul(call: Call) -> GraphNode:
    """``a @ b`` of two values of two axes or more."""
    left, right = _two(call)
    if min(len(left.example_shape), len(right.example_shape)) < 2:
        return _contraction(call, None)
    return _contraction(call, (-1, -2))


def einsum(call: Call) -> GraphNode:
    """``einsum`` of two values in which no letter occurs twice in one of them.

    By Cauchy and Schwarz its norm is at most the product of theirs. That holds where an axis of one
    value is repeated along the other's too, as ``...`` may do: for each place on it the same
    inequality holds with the same factor, and its squares are summed.
    """
    left, right = _two(call)
    one, two, result = _letters(call, left, right)
    if any(len(set(each)) != len(each) for each in (one, two, result)):
        raise NoRuleError("a letter of its equation occurs twice in one place")
    if (set(one) ^ set(two)) - set(result):
        raise NoRuleError("it sums over an axis that one of its arguments lacks")
    summed = [letter for letter in one if letter in two and letter not in result]
    pair: tuple[int, int] | None = None
    if len(summed) == 1 and len(one) > 1 and len(two) > 1 and len(result) > 1:
        second = two.index(summed[0]) - len(two)
        other = two[-1] if second == -2 else two[-2]
        if one[-1] == summed[0] and second in (-1, -2) and result[-1] == other != result[0]:
            pair = (-1, second) if other not in one else None
    return _contraction(call, pair)


def _letters(call: Call, left: Activation, right: Activation) -> tuple[str, str, str]:
    """The axes of both values and of the result; those of ``...`` are digits, from the last on."""
    equation = call.args[0] if isinstance(call.args[0], str) else None
    if equation is None or equation.count(",") != 1:
        raise NoRuleError("its equation is not read")
    sources, arrow, result = equation.replace(" ", "").partition("->")
    one, two = sources.split(",")
    if not arrow:
        known = one.replace("...", "") + two.replace("...", "")
        result = "..." + "".join(letter for letter in sorted(known) if known.count(letter) == 1)
    open_axes = [
        len(value.shape or ()) - len(axes.replace("...", "")) if "..." in axes else 0
        for axes, value in ((one, left), (two, right))
    ]
    if max(open_axes) > len(_DIGITS) or min(open_axes) < 0:
        raise NoRuleError("its equation does not fit its arguments")
    counts = (*open_axes, max(open_axes))
    first, second, last = (
        axes.replace("...", _DIGITS[len(_DIGITS) - count :])
        for axes, count in zip((one, two, result), counts, strict=True)
    )
    return first, second, last


_DIGITS = "0123456789"


def _contraction(call: Call, axes: tuple[int, int] | None) -> GraphNode:
    if axes is None:
        return call.becomes("matmul")
    return call.becomes("matmul", contracted=axes, token_axis=-1)


def _two(call: Call) -> Sequence[Activation]:
    found = call.activations
    if call.constants or len(found) != 2 or any(one.shape is None for one in found):
        raise NoRuleError("it multiplies something else than two activations")
    if not call.example_shape:
        raise NoRuleError("it gives a single number")
    return found


def attention(call: Call) -> GraphNode:
    """``scaled_dot_product_attention``; a mask that no input changes moves no score.

    A mask with numbers, or one that says which scores count, adds the same to both networks'
    scores: rows stay of sum 1, and the softmax as steep.
    """
    query = call.args[0] if call.args else call.kwargs.get("query")
    parts = [query, call.setting("key", None), call.setting("value", None)]
    if not all(isinstance(one, Activation) for one in parts):
        raise NoRuleError("its queries, keys or values are constants")
    if call.setting("dropout_p", 0.0):
        raise NoRuleError("its dropout is active in evaluation mode")
    mask = call.setting("attn_mask", None)
    if isinstance(mask, Activation):
        parts.append(mask)
    elif mask is not None and not isinstance(mask, Constant):
        raise NoRuleError("its mask is not known")
    known = [one for one in parts if isinstance(one, Activation)]
    if any(len(one.example_shape) < 2 for one in known[:3]):
        raise NoRuleError("its queries, keys or values are no matrices")
    usual = root_upper(Fraction(1, known[0].example_shape[-1]))
    scale = call.setting("scale", None)
    scale = usual if scale is None else max(abs(float(scale)), usual)  # a larger one bounds it too
    return call.becomes(
        "attention",
        inputs=tuple(one.node for one in known),
        factor_upper=scale,
        token_axis=-1,
    )
