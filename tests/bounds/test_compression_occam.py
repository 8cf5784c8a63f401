"""Occam's bound: against published values, closed forms and the holdout."""

import json
import math
from pathlib import Path

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.bounds import (
    clopper_pearson,
    occam,
)
from dlgen_cli.errors import UsageError

CASES = json.loads((Path(__file__).parents[1] / "check_cases.json").read_text())


@pytest.mark.parametrize("case", CASES["occam"])
def test_published_occam_bound(case):
    errors = round(case["empirical"] * case["m"])
    bound = occam(case["bits"], errors, case["m"], case["delta"])
    assert bound.value == pytest.approx(case["exact_tail"], abs=case["tolerance"])
    assert bound.terms["kl_form"] == pytest.approx(case["kl_form"], abs=case["tolerance"])
    assert bound.value == bound.terms["exact_tail"]
    assert bound.terms["bounded"] == "risk"


def test_occam_without_a_code_is_the_holdout():
    assert occam(0, 7, 300, 0.05).value == clopper_pearson(7, 300, 0.05).value


@given(st.integers(0, 200), st.floats(0, 1e4), st.floats(0, 50), st.floats(1e-9, 0.9))
def test_every_bit_and_every_union_costs(errors, bits, union, delta):
    value = occam(bits, errors, 200, delta).value
    more = occam(bits + 8, errors, 200, delta)
    assert value <= more.value <= 1
    assert value <= occam(bits, errors, 200, delta, union_nats=union).value
    assert more.value <= more.terms["kl_form"]
    assert more.terms["kl_form"] <= math.nextafter(
        errors / 200 + math.sqrt(more.terms["nats"] / 400) + 1e-15, 9
    )


def test_a_long_code_is_vacuous_and_not_falsely_small():
    bound = occam(10**6, 0, 50_000, 0.05)
    exact = -mpmath.expm1((-(10**6) * mpmath.log(2) + mpmath.log(mpmath.mpf(0.05))) / 50_000)
    assert exact <= bound.value <= exact * (1 + mpmath.mpf(10) ** -15)
    assert occam(10**9, 0, 50_000, 0.05).status == "vacuous"


def test_numbers_out_of_range_are_refused():
    with pytest.raises(UsageError, match="bits"):
        occam(-1, 0, 10, 0.05)
    with pytest.raises(UsageError, match="union_nats"):
        occam(1, 0, 10, 0.05, union_nats=math.nan)
    with pytest.raises(UsageError, match="trials"):
        occam(1, 0, 0, 0.05)
