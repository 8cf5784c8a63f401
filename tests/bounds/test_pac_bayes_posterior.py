"""The risk of a trained posterior, against the formula of the posterior around an anchor."""

import math

import mpmath
import pytest
from exact import exact_kl

from dlgen_cli.bounds import (
    Anchor,
    DrawnErrors,
    GibbsSample,
    IntegratedRisk,
    Posterior,
    kl_risk,
    posterior_risk,
)
from dlgen_cli.bounds.maurer import moment_upper, source_moment
from dlgen_cli.bounds.pac_bayes_posterior import posterior_name
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.errors import UsageError


def _posterior(distance: float, spread: float, errors: int = 60) -> Posterior:
    return Posterior(
        name="q",
        distance_nats_upper=distance,
        spread_nats_upper=spread,
        risk=DrawnErrors(draws=2000, trials=2000, errors=errors),
    )


def test_a_posterior_with_the_deviations_of_its_prior_is_the_one_around_an_anchor():
    anchor = Anchor(name="a", squared_distance_upper=4.0)
    one = GibbsSample(sigma=0.2, draws=2000, trials=2000, errors=60)
    around = kl_risk([anchor], [one], 5000, 0.04, 0.01)
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


def test_posteriors_share_the_monte_carlo_step_alone():
    both = posterior_risk([_posterior(100, 2), _posterior(4000, 2, 50)], 5000, 0.04, 0.01)
    alone = posterior_risk([_posterior(100, 2)], 5000, 0.04, 0.005)
    assert both.value == alone.value
    assert [row["kl_nats"] for row in both.terms["posteriors"]] == [102, 4002]


def test_a_report_that_does_not_tell_its_moment_is_read_back_with_the_source_s():
    for moment in (moment_upper, source_moment):
        bound = posterior_risk([_posterior(100, 2)], 5000, 0.04, 0.01, moment=moment)
        assert ("moment_upper" in bound.terms) == (moment is moment_upper)
        read = THEOREMS[bound.theorem].recompute(Fields(bound.terms), 0.04, bound.assumptions)
        assert read == bound


def test_an_integrated_risk_needs_no_failure_probability_of_its_own():
    one = Posterior(
        name="q",
        distance_nats_upper=100.0,
        spread_nats_upper=28.0,
        risk=IntegratedRisk(upper=0.0301, cells=4096),
    )
    found = posterior_risk([one], 5000, 0.05)
    exponent = (128 + mpmath.log(mpmath.mpf(str(moment_upper(5000))) / mpmath.mpf(0.05))) / 5000
    assert exact_kl(0.0301, found.value) == pytest.approx(exponent, rel=1e-12)
    assert exact_kl(0.0301, found.value) >= exponent * (1 - mpmath.mpf(10) ** -14)
    assert found.terms["cells"] == 4096
    assert not found.terms.keys() & {"draws", "delta_monte_carlo", "errors"}
    read = THEOREMS[found.theorem].recompute(Fields(found.terms), 0.05, found.assumptions)
    assert read == found


@pytest.mark.parametrize("upper", [-0.1, 1.5, math.nan])
def test_a_risk_that_is_no_probability_is_refused(upper):
    with pytest.raises(UsageError, match="the risk on the sample"):
        IntegratedRisk(upper=upper, cells=4096)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(UsageError, match="delta"):
        posterior_risk([_posterior(1, 1)], 5000, 0.04)
    with pytest.raises(UsageError, match="No posterior"):
        posterior_risk([], 5000, 0.04, 0.01)
    with pytest.raises(UsageError, match="the spread of q"):
        posterior_risk([_posterior(1, -1)], 5000, 0.04, 0.01)
    with pytest.raises(UsageError, match="choice_nats"):
        posterior_risk([_posterior(1, 1)], 5000, 0.04, 0.01, choice_nats=math.inf)


def test_the_trained_posterior_is_named_apart_from_those_on_its_way():
    assert [posterior_name(one) for one in (1.0, 0.5, 2)] == [
        "as trained", "shrink 0.5", "shrink 2.0"
    ]  # fmt: skip
