"""Upward decimals: never below the exact value, never far above."""

import math
from decimal import Decimal
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.bounds.arithmetic import LN2, PI, UPWARD, log10, power_complement, to_float


@given(st.decimals(min_value="1e-300", max_value="1e300", places=None, allow_nan=False))
def test_float_is_the_next_one_above(value):
    rounded = to_float(value)
    assert rounded is not None
    assert Decimal(rounded) >= value
    assert Decimal(rounded) <= value * (1 + Decimal("2.3e-16"))


def test_beyond_the_floats_only_the_logarithm_is_left():
    for exponent in (400, -400, 10**9):
        value = Decimal(f"3e{exponent}")
        assert to_float(value) is None
        assert log10(value) == pytest.approx(exponent + math.log10(3), rel=1e-12)
    assert to_float(Decimal(0)) == 0.0
    assert log10(Decimal(0)) is None


def test_integers_stay_integers():
    assert to_float(Decimal(1)) == 1.0
    assert to_float(Decimal("2.000")) == 2.0


def test_constants_are_not_below_the_exact_ones():
    assert mpmath.mpf(str(PI)) >= mpmath.pi
    assert mpmath.mpf(str(PI)) < mpmath.pi * (1 + mpmath.mpf(10) ** -58)
    assert mpmath.mpf(str(LN2)) == pytest.approx(mpmath.log(2), rel=1e-50)


@given(
    st.floats(min_value=1e-300, max_value=1.0),
    st.integers(min_value=1, max_value=10**12),
)
def test_power_complement_is_an_upper_bound_without_cancellation(side, exponent):
    with mpmath.workdps(700):
        exact = 1 - (1 - mpmath.mpf(side)) ** exponent
        computed = mpmath.mpf(str(power_complement(Decimal(side), exponent)))
        assert computed >= exact or computed == 1
        assert computed <= exact * (1 + mpmath.mpf(10) ** -40)


def test_context_rounds_toward_plus_infinity():
    third = UPWARD.divide(Decimal(1), Decimal(3))
    assert Fraction(third) > Fraction(1, 3)
