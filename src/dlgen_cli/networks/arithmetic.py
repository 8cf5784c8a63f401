"""Sums, products and quotients of values and numbers, with broadcasting; values side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dlgen_cli.networks.calls import Activation, Call, NoRuleError
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.networks.token_axes import from_end, is_axis
from dlgen_cli.records import GraphNode


def product_upper(left: float, right: float) -> float:
    """A product of floats, rounded upward."""
    product = left * right
    exact = Fraction(product) >= Fraction(left) * Fraction(right)
    return product if exact else math.nextafter(product, math.inf)


def refuse_constants(call: Call) -> None:
    """Refuse tensors whose entries are not known.

    Raises:
        NoRuleError: there is one.
    """
    if call.constants:
        raise NoRuleError(f"it uses the tensor {call.constants[0].label} directly")


def add(call: Call) -> GraphNode:
    """``a + alpha b``, ``a - alpha b``, ``b - alpha a``: values or numbers, with broadcasting."""
    refuse_constants(call)
    first, alpha = call.args[0], call.kwargs.get("alpha", 1)
    second = call.args[1] if len(call.args) > 1 else call.kwargs.get("other")
    if call.operation == "rsub":
        first, second = second, first
    return _combination(call, ((first, 1), (second, alpha)))


def pick_between(call: Call) -> GraphNode:
    """``maximum``, ``minimum``, and ``where`` by a mask: each entry is one of two.

    ``|max(a, b) - max(a', b')| <= max(|a - a'|, |b - b'|)``, which is at most their sum.
    """
    chosen = call.args[-2:]
    if len(call.args) < 2 or call.kwargs:
        raise NoRuleError("its arguments are not read")
    if call.operation == "where" and isinstance(call.args[0], Activation):
        raise NoRuleError("its mask depends on activations")
    return _combination(call, ((chosen[0], 1), (chosen[1], 1)))


def _combination(call: Call, terms: Sequence[tuple[Any, float]]) -> GraphNode:
    branches = [(one, weight) for one, weight in terms if isinstance(one, Activation)]
    numbers = [one * weight for one, weight in terms if isinstance(one, int | float)]
    if len(branches) + len(numbers) != 2 or not branches:
        raise NoRuleError("it adds something else than activations and numbers")
    if not all(math.isfinite(one) for one in numbers):
        raise NoRuleError("it adds a number that is not finite")
    coefficients = tuple(
        product_upper(abs(weight), _copies(branch, call)) for branch, weight in branches
    )
    names = tuple(branch.node for branch, _ in branches)
    axis = shared_axis(call, [branch for branch, _ in branches])
    if not numbers:
        return call.becomes("sum", inputs=names, coefficients_upper=coefficients, token_axis=axis)
    return call.becomes(
        "lipschitz",
        inputs=names,
        factor_upper=coefficients[0],
        offset_upper=product_upper(abs(numbers[0]), root_upper(call.result_entries)),
        token_axis=axis,
    )


def shared_axis(call: Call, branches: Sequence[Activation]) -> int | None:
    """The axis of the tokens of the branch that is not broadcast; None where none has one."""
    for branch in branches:
        axis = branch.token_axis
        whole = branch.entries == call.result_entries
        if axis is not None and whole and is_axis(call, axis):
            return axis
    return None


def _copies(branch: Activation, call: Call) -> float:
    """Norm of broadcasting a branch to the shape of the result."""
    return root_upper(Fraction(call.result_entries, branch.entries))


def multiply(call: Call) -> GraphNode:
    """A value times a number, or two values entry by entry."""
    refuse_constants(call)
    found = call.activations
    if len(found) == 2:
        if any(one.shape is None for one in found):
            raise NoRuleError("it multiplies a tuple of tensors")
        return call.becomes("product", token_axis=shared_axis(call, found))
    return scaled(call, abs(_number_beside(call)))


def power(call: Call) -> GraphNode:
    """The square of a value, as a product; the value itself at the power 1."""
    first = call.only()
    exponent = 2 if call.operation == "square" else call.args[1] if len(call.args) > 1 else None
    if exponent == 1:
        return scaled(call, 1.0)
    if exponent != 2 or first.shape is None:
        raise NoRuleError(f"the power {exponent} has no rule")
    names = (first.node, first.node)
    return call.becomes("product", inputs=names, token_axis=shared_axis(call, [first]))


def scaled(call: Call, factor: float) -> GraphNode:
    """A value times a number."""
    axis = call.only().token_axis
    return call.becomes(
        "scale",
        factor_upper=factor,
        token_factor_upper=None if axis is None else factor,
        entry_factor_upper=None if axis is None else factor,
        token_axis=axis,
    )


def divide(call: Call) -> GraphNode:
    """A value divided by a number."""
    if len(call.activations) > 1 or not isinstance(call.args[0], Activation):
        raise NoRuleError("it divides by an activation: no finite Lipschitz constant")
    divisor = Fraction(abs(_number_beside(call)))
    if divisor == 0 or call.kwargs.get("rounding_mode"):
        raise NoRuleError("it divides by zero or rounds: no finite Lipschitz constant")
    factor = float(1 / divisor)
    exact = Fraction(factor) >= 1 / divisor
    return scaled(call, factor if exact else math.nextafter(factor, math.inf))


def _number_beside(call: Call) -> float:
    call.only()
    others = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, int | float)]
    if len(others) != 1 or not math.isfinite(others[0]):
        raise NoRuleError("its factor is no finite number")
    return float(others[0])


def concatenate(call: Call) -> GraphNode:
    """``cat`` and ``stack`` along any axis."""
    refuse_constants(call)
    parts = call.activations
    if any(one.shape is None for one in parts):
        raise NoRuleError("it joins a tuple of tensors that is not taken apart")
    axes = {one.token_axis for one in parts}
    axis = axes.pop() if len(axes) == 1 else None
    if axis is not None and call.operation == "stack":
        place = from_end(int(call.setting("dim", 0)), len(call.result_shape or ()))
        axis = axis if place < axis else None
    is_kept = axis is not None and call.operation in {"cat", "stack"} and is_axis(call, axis)
    return call.becomes("concat", token_axis=axis if is_kept else None)
