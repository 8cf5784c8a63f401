"""The risk of a Gaussian around a checkpoint, against the formulas and scipy's tails."""

import math

import mpmath
import pytest
from exact import exact_kl
from scipy import stats

from dlgen_cli.bounds import (
    Anchor,
    GibbsSample,
    kl_risk,
    pinsker,
)
from dlgen_cli.bounds.maurer import moment_upper, source_moment
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.errors import UsageError

ANCHORS = [
    Anchor(name="near", squared_distance_upper=2.0, contributions=[("a", 0.5), ("b", 1.5)]),
    Anchor(name="far", squared_distance_upper=9.0),
]
ONE_DRAW_EACH = GibbsSample(sigma=0.2, draws=2000, trials=2000, errors=60)


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


def test_a_report_that_does_not_tell_its_moment_is_read_back_with_the_source_s():
    for moment in (moment_upper, source_moment):
        bound = kl_risk(ANCHORS, [ONE_DRAW_EACH], 5000, 0.04, 0.01, moment=moment)
        assert ("moment_upper" in bound.terms) == (moment is moment_upper)
        read = THEOREMS[bound.theorem].recompute(Fields(bound.terms), 0.04, bound.assumptions)
        assert read == bound


def test_numbers_out_of_range_are_refused():
    with pytest.raises(UsageError, match="delta"):
        kl_risk(ANCHORS, [ONE_DRAW_EACH], 100, 0.05, 0.0)
    with pytest.raises(UsageError, match="sigma"):
        kl_risk(ANCHORS, [], 100, 0.05, 0.01)
