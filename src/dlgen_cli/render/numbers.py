"""How numbers are shown: four significant digits, rounded to the side that keeps them true.

An upper bound is rounded up and a lower bound down, so that the printed number is still a bound.
What is very large or very small is written as a power of ten, from its logarithm where the float
range ends.
"""

from __future__ import annotations

import math
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    localcontext,
)

#: What stands where there is no number.
MISSING = "–"

_DIGITS = 4
_LAST_DIGIT = Decimal("1e-16")  # of the largest float below 1
#: Decimal exponents that are written out; the others become powers of ten.
_SMALLEST_WRITTEN_OUT, _LARGEST_WRITTEN_OUT = -4, 5
#: Beyond this logarithm a float no longer tells the leading digits.
_LARGEST_LOG10 = 1e11
_CONTEXT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)


def upper(value: float | None, log10_value: float | None = None) -> str:
    """Show an upper bound; the text is never below the number.

    Args:
        value: the bound; None where it leaves the float range.
        log10_value: its decimal logarithm, used where ``value`` does not tell the size.

    Returns:
        Four significant digits, or ``a × 10^N``; as many as show that what is below 1 is.
    """
    return _show(value, log10_value, ROUND_CEILING)


def lower(value: float | None, log10_value: float | None = None) -> str:
    """Show a lower bound; the text is never above the number.

    Args:
        value: the bound; None where it leaves the float range.
        log10_value: its decimal logarithm, used where ``value`` does not tell the size.

    Returns:
        Four significant digits, or ``a × 10^N``.
    """
    return _show(value, log10_value, ROUND_FLOOR)


def estimate(value: float | None, log10_value: float | None = None) -> str:
    """Show a number without a direction, rounded to nearest.

    Args:
        value: the number; None where it leaves the float range.
        log10_value: its decimal logarithm, used where ``value`` does not tell the size.

    Returns:
        Four significant digits, or ``a × 10^N``.
    """
    return _show(value, log10_value, ROUND_HALF_EVEN)


def integer(value: int | None) -> str:
    """Show a count with thousands separators."""
    return MISSING if value is None else f"{value:,}"


def setting(value: float) -> str:
    """Show a number that the user typed: no padding zeros, at most six digits."""
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else _unbounded(value)
    mantissa, mark, exponent = f"{value:.6g}".partition("e")
    if not mark:
        return f"{int(value):,}" if value.is_integer() else mantissa
    power = f"10^{int(exponent)}"
    return power if mantissa == "1" else f"{mantissa} × {power}"


def percent(share: float | None) -> str:
    """Show a share of 1 in percent, rounded to nearest."""
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{100 * share:.1f} %"


def covered(part: int, whole: int) -> str:
    """Show a part of a whole in percent, rounded down: 100 % is all of it."""
    return "100 %" if part == whole else f"{part * 1000 // whole / 10:.1f} %"


def _show(value: float | None, log10_value: float | None, rounding: str) -> str:
    # A logarithm tells more than a value that underflowed to 0 or overflowed.
    told = value is not None and math.isfinite(value) and (value != 0 or log10_value is None)
    if told and value is not None:
        # The shortest decimal that reads back as this float: 0.1 shows as 0.1000, not 0.1001.
        return _digits(Decimal(repr(float(value))), rounding)
    if log10_value is not None and math.isfinite(log10_value):
        return _power(log10_value, rounding)
    if value is None or math.isnan(value):
        return MISSING
    return _unbounded(value) if math.isinf(value) else "0"


def _digits(number: Decimal, rounding: str) -> str:
    if number == 0:
        return "0"
    with localcontext(_CONTEXT):
        quantum = Decimal(1).scaleb(number.adjusted() - _DIGITS + 1)
        rounded = number.quantize(quantum, rounding=rounding)
        is_upper = rounding == ROUND_CEILING
        # A bound below 1 says so, where a float can.
        while is_upper and number < 1 <= rounded and quantum > _LAST_DIGIT:
            quantum = quantum.scaleb(-1)
            rounded = number.quantize(quantum, rounding=rounding)
        exponent = rounded.adjusted()
        if exponent != number.adjusted():  # 9.9996 became 10.000: one digit fewer
            rounded = rounded.quantize(Decimal(1).scaleb(exponent - _DIGITS + 1))
        if _SMALLEST_WRITTEN_OUT <= exponent <= _LARGEST_WRITTEN_OUT:
            return f"{rounded:,f}"
        return f"{rounded.scaleb(-exponent):f} × 10^{exponent}"


def _power(log10_value: float, rounding: str) -> str:
    if abs(log10_value) < _LARGEST_LOG10:
        with localcontext(_CONTEXT):
            return _digits(Decimal(10) ** Decimal(log10_value), rounding)
    exponent = _digits(Decimal(log10_value), rounding)
    return f"10^({exponent})"


def _unbounded(value: float) -> str:
    return "above 10^308" if value > 0 else "below -10^308"
