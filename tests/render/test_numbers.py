import math
import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlgen_cli.render import numbers

WIDE = Context(prec=40, Emax=MAX_EMAX, Emin=MIN_EMIN)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
POWER = re.compile(r"^(-?[\d.,]+)(?: × 10\^(-?\d+))?$")


def read_back(text: str):
    match = POWER.match(text)
    assert match is not None, text
    with localcontext(WIDE):
        return Decimal(match[1].replace(",", "")).scaleb(int(match[2] or 0))


@given(FINITE)
def test_upper_is_never_below_the_number(value: float | None):
    assert float(read_back(numbers.upper(value))) >= value


@given(FINITE)
def test_lower_is_never_above_the_number(value: float | None):
    assert float(read_back(numbers.lower(value))) <= value


@given(FINITE)
def test_both_are_within_one_unit_of_the_fourth_digit(value: float | None):
    slack = Decimal("1.001e-3") * abs(Decimal(value)) + Decimal(repr(math.ulp(0.0)))
    assert read_back(numbers.upper(value)) - Decimal(value) <= slack
    assert Decimal(value) - read_back(numbers.lower(value)) <= slack


@given(st.floats(min_value=-1e9, max_value=1e9))
def test_a_power_of_ten_is_rounded_the_safe_way(log10_value: float | None):
    up, down = (read_back(show(None, log10_value)) for show in (numbers.upper, numbers.lower))
    slack = Decimal("1e-12") * (1 + abs(Decimal(log10_value)))
    with localcontext(WIDE):
        assert up.log10() >= Decimal(log10_value) - slack
        assert down.log10() <= Decimal(log10_value) + slack
        assert down <= up


@given(st.floats(), st.none() | st.floats())
@example(0.0, -1.175494351e-38)
def test_no_infinity_and_no_wall_of_digits(value: float | None, log10_value: float | None):
    for show in (numbers.upper, numbers.lower, numbers.estimate):
        text = show(value, log10_value)
        assert not re.search(r"inf|nan", text, re.IGNORECASE)
        assert len(text) <= 26


@pytest.mark.parametrize(
    ("value", "log10_value", "expected"),
    [
        (None, None, "–"),
        (math.nan, None, "–"),
        (0.0, None, "0"),
        (0.1, None, "0.1000"),
        (12.3451, None, "12.35"),
        (-12.3459, None, "-12.34"),
        (0.99996, None, "0.99996"),
        (9999.6, None, "10,000"),
        (123_401.0, None, "123,500"),
        (999_999.0, None, "1.000 × 10^6"),
        (0.00012341, None, "0.0001235"),
        (0.000012341, None, "1.235 × 10^-5"),
        (None, 3699.1139, "1.300 × 10^3699"),
        (math.inf, 3699.1139, "1.300 × 10^3699"),
        (0.0, -400.0, "1.000 × 10^-400"),
        (math.inf, None, "above 10^308"),
        (-math.inf, None, "below -10^308"),
        (0.0, math.nan, "0"),
        (None, 1e12, "10^(1.000 × 10^12)"),
    ],
)
def test_upper(value: float | None, log10_value: float | None, expected: str):
    assert numbers.upper(value, log10_value) == expected


@pytest.mark.parametrize("value", [0.99991, 0.9999999, math.nextafter(1.0, 0.0)])
def test_an_upper_bound_below_1_never_shows_as_1(value: float):
    text = numbers.upper(value)
    assert value <= float(text) < 1
    assert numbers.estimate(0.99999) == "1.000"


def test_lower_and_estimate():
    assert numbers.lower(12.3459) == "12.34"
    assert numbers.estimate(12.3459) == "12.35"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "1"),
        (50_000.0, "50,000"),
        (0.05, "0.05"),
        (1e-9, "10^-9"),
        (2.5e-9, "2.5 × 10^-9"),
        (27.712812921, "27.7128"),
        (math.nan, "–"),
        (math.inf, "above 10^308"),
    ],
)
def test_setting(value: float | None, expected: str):
    assert numbers.setting(value) == expected


def test_counts_and_shares():
    assert numbers.integer(2_236_682) == "2,236,682"
    assert numbers.integer(None) == "–"
    assert numbers.percent(0.12345) == "12.3 %"
    assert numbers.percent(None) == "–"
