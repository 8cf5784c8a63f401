"""Decimal arithmetic that errs upward and cannot overflow.

Bounds are evaluated with the standard library's `decimal` at 60 digits, every operation rounded
toward plus infinity, with exponents up to 10^18: products of norms need no logarithms, and
nothing overflows. ``ln``, ``exp`` and ``sqrt`` are correctly rounded to nearest there, so
their error is below 10^-59 relative; `to_float` covers it with a margin of 10^-50 before it
rounds to the next float above. A float converts to a decimal exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

UPWARD = Context(prec=60, rounding=ROUND_CEILING, Emax=MAX_EMAX, Emin=MIN_EMIN)
DOWNWARD = Context(prec=60, rounding=ROUND_FLOOR, Emax=MAX_EMAX, Emin=MIN_EMIN)
ONE = Decimal(1)
ZERO = Decimal(0)
LN2 = UPWARD.ln(Decimal(2))
#: pi to 60 digits, the last one rounded up.
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097495")

#: A logarithm that is rounded to a float needs no more digits, and takes less than half the time.
_FOR_FLOATS = Context(prec=30, rounding=ROUND_CEILING, Emax=MAX_EMAX, Emin=MIN_EMIN)
_MARGIN = Decimal("1e-50")
_EXACT_INTEGERS = 2**53
_SMALLEST_NORMAL = Decimal(2.0**-1022)
_LARGEST = Decimal(math.nextafter(math.inf, 0.0))


def upward(function: Callable[P, R]) -> Callable[P, R]:
    """Evaluate every decimal operation of ``function`` in the upward context."""

    @wraps(function)
    def in_context(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(UPWARD):
            return function(*args, **kwargs)

    return in_context


def to_float(value: Decimal) -> float | None:
    """Round a nonnegative decimal to a float that is not below it.

    Args:
        value: at least 0.

    Returns:
        A float at or above ``value``, within 2.3e-16 relative; None where ``value`` lies beyond
        the normal floats in either direction (`log10` still tells its size).
    """
    if value < _EXACT_INTEGERS and value == value.to_integral_value():
        return float(value)
    padded = UPWARD.multiply(value, UPWARD.add(ONE, _MARGIN))
    if not _SMALLEST_NORMAL <= padded <= _LARGEST:
        return None
    nearest = float(padded)
    return nearest if Decimal(nearest) >= padded else math.nextafter(nearest, math.inf)


def log10(value: Decimal) -> float | None:
    """Decimal logarithm of a nonnegative decimal, rounded upward; None for 0."""
    if value == 0:
        return None
    above = _FOR_FLOATS.next_plus(_FOR_FLOATS.log10(value))
    nearest = float(above)
    return nearest if Decimal(nearest) >= above else math.nextafter(nearest, math.inf)


def with_logarithm(name: str, value: Decimal) -> dict[str, Any]:
    """Two terms, ``name`` and ``log10_name``, for a quantity that may leave the float range."""
    return {name: to_float(value), f"log10_{name}": log10(value)}


@upward
def log_inverse(delta: Decimal) -> Decimal:
    """``ln(1/delta)`` for ``0 < delta < 1``."""
    return (ONE / delta).ln()


def share_of(delta: Decimal, parts: int) -> Decimal:
    """``delta / parts``, rounded downward: shares of a failure probability never exceed it."""
    return DOWNWARD.divide(delta, Decimal(parts))


def power_complement(side: Decimal, exponent: int) -> Decimal:
    """``1 - (1 - side)^exponent`` without cancellation, rounded upward.

    Args:
        side: in [0, 1].
        exponent: at least 1, of any size.

    Returns:
        In [0, 1], within 1e-50 relative.
    """
    if side <= 0:
        return ZERO
    if side >= 1:
        return ONE
    # The leading digits cancel twice (in 1 - side and in 1 - power): carry that many more.
    digits = UPWARD.prec + 2 * (2 + max(0, -side.adjusted())) + len(str(exponent))
    with localcontext(Context(prec=digits, Emax=MAX_EMAX, Emin=MIN_EMIN)):
        complement = ONE - ((ONE - side).ln() * exponent).exp()
    return min(ONE, UPWARD.multiply(complement, UPWARD.add(ONE, _MARGIN)))
