"""A bound worked out: the lines of its formula with the numbers of a report put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, Context, Decimal, localcontext

from dlgen_cli.bounds.arithmetic import UPWARD
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField

_DIGITS = 6
_SHOWN = Context(prec=_DIGITS, rounding=ROUND_CEILING, Emax=MAX_EMAX, Emin=MIN_EMIN)
#: Decimal exponents that are written out; the others become powers of ten.
_SMALLEST_WRITTEN_OUT, _LARGEST_WRITTEN_OUT = -5, 14
#: Digits of whole numbers that are written in full.
_LONGEST_COUNT = 15
#: A float this close to a shorter number is the one that somebody typed.
_TYPED = Context(prec=_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN)
_ROUNDING = Decimal("1e-15")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a bound that is worked out.

    Attributes:
        symbol: what the line computes.
        formula: how, in symbols; empty where the number is taken from the report.
        numbers: the formula with the numbers put in, each rounded up to six digits.
        value: rounded upward.
    """

    symbol: str
    formula: str
    numbers: str
    value: Decimal


class Derivation:
    """The lines of a bound, each made of the numbers before it.

    Attributes:
        steps: the lines so far.
    """

    def __init__(self, given: Mapping[str, Decimal | float]) -> None:
        """Start from numbers that formulas may name but that need no line.

        Args:
            given: by symbol.
        """
        self._values = {symbol: Decimal(value) for symbol, value in given.items()}
        self.steps: list[Step] = []

    def given(self, symbol: str, value: Decimal | float) -> None:
        """Let formulas name a number that needs no line."""
        self._values[symbol] = Decimal(value)

    def recorded(self, symbol: str, what: str, value: Decimal) -> Decimal:
        """Add a line whose number the report holds.

        Args:
            symbol: what the number is called.
            what: where it comes from, in words.
            value: the number.
        """
        return self._add(symbol, "", what, value)

    def step(self, symbol: str, formula: str, value: Decimal) -> Decimal:
        """Add a line.

        Args:
            symbol: what the line computes.
            formula: how, with the symbols of earlier numbers in braces.
            value: the result, rounded upward.
        """
        shown = {name: _as_factor(number) for name, number in self._values.items()}
        plain = formula.format_map({name: name for name in self._values})
        return self._add(symbol, plain, formula.format_map(shown), value)

    def _add(self, symbol: str, formula: str, numbers: str, value: Decimal) -> Decimal:
        self._values[symbol] = value
        self.steps.append(Step(symbol=symbol, formula=formula, numbers=numbers, value=value))
        return value


def shown_number(value: Decimal) -> str:
    """A number as the lines show it: whole or as typed where that is short, else rounded up.

    Args:
        value: any finite number.

    Returns:
        At most six significant digits but for whole numbers, or ``a × 10^N``.
    """
    if value == value.to_integral_value(context=UPWARD) and value.adjusted() < _LONGEST_COUNT:
        return f"{int(value):,}"
    typed = _TYPED.plus(value)
    is_typed = UPWARD.abs(UPWARD.subtract(typed, value)) <= UPWARD.multiply(
        _ROUNDING, UPWARD.abs(value)
    )
    nearest = (typed if is_typed else _SHOWN.plus(value)).normalize(_SHOWN)
    exponent = nearest.adjusted()
    if _SMALLEST_WRITTEN_OUT <= exponent <= _LARGEST_WRITTEN_OUT:
        return f"{nearest:,f}"
    mantissa = nearest.scaleb(-exponent, Context(Emax=MAX_EMAX, Emin=MIN_EMIN)).normalize()
    power = f"10^{exponent}" if exponent > 0 else f"10^({exponent})"
    return power if mantissa == 1 else f"{mantissa:f} × {power}"


def _as_factor(value: Decimal) -> str:
    """A number as it stands in a product."""
    text = shown_number(value)
    return f"({text})" if " × " in text else text


def read_number(terms: Fields, name: str) -> Decimal:
    """A term, from its ``log10_`` companion where it leaves the range of floats.

    Raises:
        UnusableField: neither is there.
    """
    value, logarithm = terms.optional_number(name), terms.optional_number(f"log10_{name}")
    if value is not None:
        return Decimal(value)
    if logarithm is None:
        raise UnusableField(terms.path(name), None, "a number or its logarithm")
    with localcontext(UPWARD):
        return Decimal(10) ** Decimal(logarithm)
