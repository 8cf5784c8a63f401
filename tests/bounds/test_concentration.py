"""Inverses of concentration: never below the exact value, close above it."""

import json
import math
from decimal import Decimal, localcontext
from pathlib import Path

import mpmath
import pytest
from exact import exact_kl, mpf
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlgen_cli.bounds.arithmetic import UPWARD
from dlgen_cli.bounds.concentration import (
    MOST_TRIALS,
    binary_kl,
    binomial_tail_inverse_upper,
    clopper_pearson_upper,
    kl_inverse_upper,
)
from dlgen_cli.errors import UsageError

CASES = json.loads((Path(__file__).parents[1] / "check_cases.json").read_text())
SHARP = mpmath.mpf(10) ** -20
ANY_RATE = st.floats(0.0, 1.0).map(Decimal)
ANY_EXPONENT = st.floats(1e-12, 1e4).map(Decimal)


def exact_ln_tail(errors, n, p):
    p = mpf(p)
    term = total = mpmath.binomial(n, errors) * p**errors * (1 - p) ** (n - errors)
    for i in range(errors, 0, -1):
        term *= i * (1 - p) / ((n - i + 1) * p)
        total += term
    return mpmath.log(total)


def just_below(p):
    """A little smaller than p, but for its 60 digits where it is near 1."""
    if p == 1:
        return 1 - mpf("2e-40")
    p = mpf(p)
    return p - max(min(p, 1 - p) * SHARP, mpmath.mpf(10) ** -58)


@pytest.mark.parametrize("case", CASES["kl_inverse"])
def test_published_kl_inverses(case):
    found = kl_inverse_upper(Decimal(str(case["q"])), Decimal(str(case["c"])))
    assert float(found) == pytest.approx(case["exact"], rel=1e-9)
    assert float(found) >= case["exact"] - 1e-12  # the case itself is rounded


@pytest.mark.parametrize("case", CASES["gibbs_certificate"])
def test_published_gibbs_certificate(case):
    exponent = math.log(2 / case["delta_monte_carlo"]) / case["draws"]
    empirical = kl_inverse_upper(Decimal(case["empirical"]), Decimal(exponent))
    assert float(empirical) == pytest.approx(case["empirical_upper"], rel=1e-9)
    logarithm = math.log(2 * math.sqrt(case["m"]) / case["delta"])
    exponent = Decimal(case["kl_over_m"]) + Decimal(logarithm) / case["m"]
    assert float(kl_inverse_upper(empirical, exponent)) == pytest.approx(case["risk"], rel=1e-9)


@pytest.mark.parametrize("case", CASES["occam"])
def test_published_occam_values(case):
    m = case["m"]
    errors = round(case["empirical"] * m)
    nats = Decimal(case["bits"]) * Decimal(2).ln() - Decimal(str(case["delta"])).ln()
    relaxed = kl_inverse_upper(Decimal(errors) / m, nats / m)
    exact = binomial_tail_inverse_upper(errors, m, -nats)
    assert float(relaxed) == pytest.approx(case["kl_form"], abs=case["tolerance"])
    assert float(exact) == pytest.approx(case["exact_tail"], abs=case["tolerance"])


@pytest.mark.parametrize("case", CASES["clopper_pearson_upper"])
def test_published_clopper_pearson_limits(case):
    found = clopper_pearson_upper(case["errors"], case["n"], case["delta"])
    assert float(found) == pytest.approx(case["exact"], rel=2e-8)  # the case has 8 digits
    exact = stats.beta.ppf(1 - case["delta"], case["errors"] + 1, case["n"] - case["errors"])
    assert float(found) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("case", CASES["gap_forms"])
def test_published_maurer_risk(case):
    m = case["m"]
    exponent = Decimal((case["kl"] + math.log(2 * math.sqrt(m) / case["delta"])) / m)
    found = kl_inverse_upper(Decimal(str(case["empirical"])), exponent)
    assert float(found) == pytest.approx(case["maurer_kl_risk"], rel=1e-9)


@given(ANY_RATE, ANY_RATE)
def test_kl_is_never_below_the_exact_one(q, p):
    found = binary_kl(q, p)
    if p in {0, 1}:
        assert found == (0 if p == q else Decimal("Infinity"))
        return
    with mpmath.workdps(150):
        exact = exact_kl(q, p)
        assert mpf(found) >= exact
        assert mpf(found) <= exact + mpmath.mpf(10) ** -80 * (2 + abs(mpmath.log(1 - mpf(p))))


@given(ANY_RATE, ANY_EXPONENT)
def test_kl_inverse_is_upper_and_sharp(q, c):
    found = kl_inverse_upper(q, c)
    assert q <= found <= 1
    with mpmath.workdps(150):
        assert found == 1 or exact_kl(q, found) >= mpf(c)
        below = just_below(found)
        assert below <= mpf(q) or exact_kl(q, below) < mpf(c)


@given(ANY_EXPONENT)
def test_kl_inverse_of_no_error_is_the_closed_form(c):
    exact = -mpmath.expm1(-mpf(c))
    found = mpf(kl_inverse_upper(Decimal(0), c))
    assert exact <= found <= exact * (1 + SHARP)


@pytest.mark.parametrize("q", ["0", "1e-300", "0.3", "1"])
def test_kl_inverse_at_the_ends(q):
    q = Decimal(q)
    assert kl_inverse_upper(q, Decimal(0)) == q
    assert mpf(q) <= mpf(kl_inverse_upper(q, Decimal("1e-200"))) <= mpf(q) + mpf("1e-29")
    for c in (Decimal("1e4"), Decimal("1e12"), Decimal("1e400"), Decimal("Infinity")):
        assert kl_inverse_upper(q, c) == 1
    assert kl_inverse_upper(1 - Decimal("1e-58"), Decimal(1)) <= 1


@given(ANY_RATE, ANY_RATE, ANY_EXPONENT, ANY_EXPONENT)
def test_kl_inverse_rises_with_both(q, other, c, more):
    low, high = sorted([q, other])
    few, many = sorted([c, more])
    value = mpf(kl_inverse_upper(low, few))
    assert value <= mpf(kl_inverse_upper(high, few)) * (1 + SHARP)
    assert value <= mpf(kl_inverse_upper(low, many)) * (1 + SHARP)


@given(ANY_RATE, st.floats(1e-6, 0.999).map(Decimal))
def test_kl_inverse_undoes_kl(q, p):
    if p > q:
        found = kl_inverse_upper(q, binary_kl(q, p))
        assert mpf(p) <= mpf(found)
        assert mpf(found) <= mpf(p) * (1 + SHARP)


TAILS = [
    (errors, n, ln_delta)
    for n in (1, 10, 257, 5000)
    for errors in sorted({0, 1, n // 3, n // 2, n - 1})
    if errors < n
    for ln_delta in ("-1e-15", "-0.01", "-0.7", "-3", "-40", "-900")
]


@pytest.mark.parametrize(("errors", "n", "ln_delta"), TAILS)
def test_tail_inverse_is_upper_and_sharp(errors, n, ln_delta):
    found = binomial_tail_inverse_upper(errors, n, Decimal(ln_delta))
    assert 0 < found <= 1
    if found < 1:
        assert exact_ln_tail(errors, n, found) <= mpf(ln_delta)
    assert exact_ln_tail(errors, n, just_below(found)) > mpf(ln_delta)


@pytest.mark.parametrize(("errors", "n"), [(0, 10**7), (40, 50_000), (2000, 10**6), (90, 10**7)])
@pytest.mark.parametrize("bits", [1, 10**3, 10**5, 10**6])
def test_tail_inverse_of_a_million_bits(errors, n, bits):
    ln_delta = -bits * Decimal(2).ln() - 3
    found = binomial_tail_inverse_upper(errors, n, ln_delta)
    assert exact_ln_tail(errors, n, found) <= mpf(ln_delta)
    assert exact_ln_tail(errors, n, just_below(found)) > mpf(ln_delta)


def test_every_error_leaves_nothing_to_say():
    assert binomial_tail_inverse_upper(7, 7, Decimal(-1)) == 1
    assert clopper_pearson_upper(1, 1, 0.5) == 1
    assert binomial_tail_inverse_upper(6, 7, Decimal(-(10**6))) == 1


@given(st.integers(1, 10**7), st.floats(1e-300, 0.999999))
def test_no_error_is_the_closed_form(n, delta):
    exact = -mpmath.expm1(mpmath.log(mpmath.mpf(delta)) / n)
    found = mpf(clopper_pearson_upper(0, n, delta))
    assert exact <= found <= exact * (1 + SHARP)


@given(st.data(), st.integers(1, 3000), st.floats(1e-12, 0.99))
def test_limit_agrees_with_scipy(data, n, delta):
    errors = data.draw(st.integers(0, n - 1))
    found = float(clopper_pearson_upper(errors, n, delta))
    assert found == pytest.approx(stats.beta.isf(delta, errors + 1, n - errors), rel=1e-7)


@given(st.data(), st.integers(2, 10**5), st.floats(-1e5, -1e-6), st.floats(-1e5, -1e-6))
def test_tail_inverse_is_monotone(data, n, ln_delta, other):
    errors = data.draw(st.integers(0, n - 2))
    low, high = (Decimal(one) for one in sorted([ln_delta, other]))
    slack = 1 + SHARP
    value = mpf(binomial_tail_inverse_upper(errors, n, high))
    assert value <= mpf(binomial_tail_inverse_upper(errors, n, low)) * slack
    assert value <= mpf(binomial_tail_inverse_upper(errors + 1, n, high)) * slack
    assert mpf(binomial_tail_inverse_upper(errors, n + 1, high)) <= value * slack


@given(st.data(), st.integers(1, 10**5), st.floats(1e-6, 1e5))
def test_exact_tail_is_below_kl_and_kl_below_pinsker(data, n, nats):
    errors = data.draw(st.integers(0, n))
    with localcontext(UPWARD):
        tail = binomial_tail_inverse_upper(errors, n, -Decimal(nats))
        exponent = Decimal(nats) / n
        relaxed = kl_inverse_upper(Decimal(errors) / n, exponent)
        pinsker = Decimal(errors) / n + (exponent / 2).sqrt()
    assert tail <= relaxed
    assert mpf(relaxed) <= mpf(pinsker) * (1 + SHARP)


@pytest.mark.parametrize("q", ["-0.1", "1.1", "NaN"])
def test_a_rate_outside_the_unit_interval_is_refused(q):
    with pytest.raises(UsageError, match="from 0 to 1"):
        kl_inverse_upper(Decimal(q), Decimal(1))
    with pytest.raises(UsageError, match="from 0 to 1"):
        binary_kl(Decimal("0.5"), Decimal(q))


def test_numbers_out_of_range_are_refused():
    with pytest.raises(UsageError, match="exponent"):
        kl_inverse_upper(Decimal("0.5"), Decimal(-1))
    with pytest.raises(UsageError, match="below 0"):
        binomial_tail_inverse_upper(1, 2, Decimal(0))
    with pytest.raises(UsageError, match="3 errors"):
        binomial_tail_inverse_upper(3, 2, Decimal(-1))
    with pytest.raises(UsageError, match="trials"):
        binomial_tail_inverse_upper(0, 0, Decimal(-1))
    with pytest.raises(UsageError, match="trials"):
        binomial_tail_inverse_upper(0, MOST_TRIALS + 1, Decimal(-1))
    with pytest.raises(UsageError, match="delta"):
        clopper_pearson_upper(0, 5, 1.0)
