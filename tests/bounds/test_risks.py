"""Bounds on the risk itself: Occam, the holdout, and PAC-Bayes in kl form."""

import json
import math
from pathlib import Path

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlgen_cli.bounds import (
    Anchor,
    GibbsSample,
    Posterior,
    clopper_pearson,
    kl_risk,
    occam,
    pinsker,
    posterior_risk,
)
from dlgen_cli.bounds.assumptions import violated
from dlgen_cli.bounds.maurer import moment_upper, source_moment
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.errors import UsageError

CASES = json.loads((Path(__file__).parents[1] / "check_cases.json").read_text())
ANCHORS = [
    Anchor(name="near", squared_distance_upper=2.0, contributions=[("a", 0.5), ("b", 1.5)]),
    Anchor(name="far", squared_distance_upper=9.0),
]
ONE_DRAW_EACH = GibbsSample(sigma=0.2, draws=2000, trials=2000, errors=60)


def exact_kl(q, p):
    q, p = mpmath.mpf(q), mpmath.mpf(p)
    first = q * mpmath.log(q / p) if q else 0
    return first + (1 - q) * mpmath.log((1 - q) / (1 - p))


@pytest.mark.parametrize("case", CASES["occam"])
def test_published_occam_bound(case):
    errors = round(case["empirical"] * case["m"])
    bound = occam(case["bits"], errors, case["m"], case["delta"])
    assert bound.value == pytest.approx(case["exact_tail"], abs=case["tolerance"])
    assert bound.terms["kl_form"] == pytest.approx(case["kl_form"], abs=case["tolerance"])
    assert bound.value == bound.terms["exact_tail"]
    assert bound.terms["bounded"] == "risk"


@pytest.mark.parametrize("case", CASES["clopper_pearson_upper"])
def test_published_holdout_limits(case):
    bound = clopper_pearson(case["errors"], case["n"], case["delta"])
    assert bound.value == pytest.approx(case["exact"], rel=2e-8)
    assert bound.status == "holds"
    assert bound.theorem == "holdout.clopper_pearson"


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


def test_a_violated_line_withholds_the_value():
    line = violated("No holdout example was trained on.", "3 were.")
    bound = clopper_pearson(1, 100, 0.05, [line])
    assert (bound.status, bound.value) == ("not_applicable", None)
    assert occam(10, 1, 100, 0.05, assumptions=[line]).value is None
    assert kl_risk(ANCHORS, [ONE_DRAW_EACH], 1000, 0.04, 0.01, [line]).value is None


def test_kl_risk_equals_the_formulas():
    m, delta, share = 5000, 0.04, 0.01
    bound = kl_risk(ANCHORS, [ONE_DRAW_EACH], m, delta, share)
    kl = [one.squared_distance_upper / (2 * mpmath.mpf(0.2) ** 2) for one in ANCHORS]
    mixed = -mpmath.log(sum(mpmath.exp(-one) for one in kl) / 2)
    assert bound.terms["kl_nats"] == pytest.approx(float(mixed), rel=1e-15)
    empirical = bound.terms["empirical_risk_upper"]
    assert empirical == pytest.approx(stats.beta.ppf(1 - share, 61, 1940), rel=1e-10)
    exponent = (mixed + mpmath.log(mpmath.mpf(str(moment_upper(m))) / mpmath.mpf(delta))) / m
    assert exact_kl(empirical, bound.value) == pytest.approx(exponent, rel=1e-12)
    assert exact_kl(empirical, bound.value) >= exponent * (1 - mpmath.mpf(10) ** -14)


def test_whole_sample_draws_count_as_draws_and_not_as_trials():
    whole = GibbsSample(sigma=0.2, draws=50, trials=50 * 5000, errors=50 * 150)
    found = kl_risk(ANCHORS, [whole], 5000, 0.04, 0.01).terms["empirical_risk_upper"]
    assert exact_kl(0.03, found) == pytest.approx(math.log(1 / 0.01) / 50, rel=1e-12)
    binomial = stats.beta.ppf(0.99, whole.errors + 1, whole.trials - whole.errors)
    assert found > 2 * binomial


def test_sigmas_share_both_failure_probabilities():
    other = GibbsSample(sigma=0.4, draws=2000, trials=2000, errors=900)
    both = kl_risk(ANCHORS, [ONE_DRAW_EACH, other], 5000, 0.04, 0.01)
    alone = kl_risk(ANCHORS, [ONE_DRAW_EACH], 5000, 0.02, 0.005)
    assert both.value == alone.value
    assert both.terms["sigma"] == 0.2
    assert [row["sigma"] for row in both.terms["sigmas"]] == [0.2, 0.4]
    assert both.value > kl_risk(ANCHORS, [ONE_DRAW_EACH], 5000, 0.04, 0.01).value


def test_kl_form_is_at_most_the_risk_by_pinsker():
    for m in (8, 200, 50_000):
        bound = kl_risk(ANCHORS, [ONE_DRAW_EACH], m, 0.05, 0.01)
        gap = pinsker(ANCHORS, [0.2], m, 0.05).value
        assert bound.value <= bound.terms["empirical_risk_upper"] + gap + 1e-15


def test_an_anchor_is_not_the_checkpoint():
    same = [Anchor(name="same", squared_distance_upper=0.0)]
    assert kl_risk(same, [ONE_DRAW_EACH], 100, 0.04, 0.01).value is None


def _posterior(distance: float, spread: float, errors: int = 60) -> Posterior:
    return Posterior(
        name="q",
        distance_nats_upper=distance,
        spread_nats_upper=spread,
        draws=2000,
        trials=2000,
        errors=errors,
    )


def test_a_posterior_with_the_deviations_of_its_prior_is_the_one_around_an_anchor():
    anchor = Anchor(name="a", squared_distance_upper=4.0)
    around = kl_risk([anchor], [ONE_DRAW_EACH], 5000, 0.04, 0.01)
    nats = 4.0 / (2 * 0.2**2)
    found = posterior_risk([_posterior(nats, 0.0)], 5000, 0.04, 0.01)
    assert found.value == pytest.approx(around.value, rel=1e-12)


def test_distance_spread_and_choice_add_up_and_are_inverted_upward():
    found = posterior_risk([_posterior(100.5, 20.25)], 5000, 0.04, 0.01, choice_nats=7.25)
    empirical = found.terms["empirical_risk_upper"]
    assert found.terms["kl_nats"] == 128.0
    exponent = (128 + mpmath.log(mpmath.mpf(str(moment_upper(5000))) / mpmath.mpf(0.04))) / 5000
    assert exact_kl(empirical, found.value) == pytest.approx(exponent, rel=1e-12)
    assert exact_kl(empirical, found.value) >= exponent * (1 - mpmath.mpf(10) ** -14)


def test_a_report_that_does_not_tell_its_moment_is_read_back_with_the_source_s():
    for moment in (moment_upper, source_moment):
        for bound in (
            kl_risk(ANCHORS, [ONE_DRAW_EACH], 5000, 0.04, 0.01, moment=moment),
            posterior_risk([_posterior(100, 2)], 5000, 0.04, 0.01, moment=moment),
        ):
            assert ("moment_upper" in bound.terms) == (moment is moment_upper)
            read = THEOREMS[bound.theorem].recompute(Fields(bound.terms), 0.04, bound.assumptions)
            assert read == bound


def test_posteriors_share_the_monte_carlo_step_alone():
    both = posterior_risk([_posterior(100, 2), _posterior(4000, 2, 50)], 5000, 0.04, 0.01)
    alone = posterior_risk([_posterior(100, 2)], 5000, 0.04, 0.005)
    assert both.value == alone.value
    assert [row["kl_nats"] for row in both.terms["posteriors"]] == [102, 4002]


def test_numbers_out_of_range_are_refused():
    with pytest.raises(UsageError, match="No posterior"):
        posterior_risk([], 5000, 0.04, 0.01)
    with pytest.raises(UsageError, match="the spread of q"):
        posterior_risk([_posterior(1, -1)], 5000, 0.04, 0.01)
    with pytest.raises(UsageError, match="choice_nats"):
        posterior_risk([_posterior(1, 1)], 5000, 0.04, 0.01, choice_nats=math.inf)
    with pytest.raises(UsageError, match="bits"):
        occam(-1, 0, 10, 0.05)
    with pytest.raises(UsageError, match="union_nats"):
        occam(1, 0, 10, 0.05, union_nats=math.nan)
    with pytest.raises(UsageError, match="11 errors"):
        clopper_pearson(11, 10, 0.05)
    with pytest.raises(UsageError, match="trials"):
        occam(1, 0, 0, 0.05)
    with pytest.raises(UsageError, match="each draw"):
        GibbsSample(sigma=0.1, draws=3, trials=10, errors=1)
    with pytest.raises(UsageError, match="draws"):
        GibbsSample(sigma=0.1, draws=0, trials=10, errors=1)
    with pytest.raises(UsageError, match="delta"):
        kl_risk(ANCHORS, [ONE_DRAW_EACH], 100, 0.05, 0.0)
    with pytest.raises(UsageError, match="add up"):
        kl_risk(ANCHORS, [ONE_DRAW_EACH], 100, 0.6, 0.6)
    with pytest.raises(UsageError, match="sigma"):
        kl_risk(ANCHORS, [], 100, 0.05, 0.01)
