"""One drawn network: the formula against mpmath, the price of draws, and what is read back."""

import math

import mpmath
import pytest

from dlgen_cli.bounds import DrawnErrors, DrawnNetwork, Posterior, drawn_risk, posterior_risk
from dlgen_cli.bounds.maurer import moment_upper
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.errors import UsageError


def network(nats=100.0, errors=600, name="h"):
    return DrawnNetwork(name=name, log_density_ratio_nats=nats, errors=errors)


def test_it_equals_the_formula_from_above():
    bound = drawn_risk([network()] * 3, 5000, 0.05, choice_nats=7.25)
    q, p = mpmath.mpf(600) / 5000, mpmath.mpf(bound.value)
    kl = q * mpmath.log(q / p) + (1 - q) * mpmath.log((1 - q) / (1 - p))
    moment = mpmath.mpf(str(moment_upper(5000)))
    exact = (mpmath.mpf("107.25") + mpmath.log(3 * moment / mpmath.mpf(0.05))) / 5000
    assert exact * (1 - mpmath.mpf(10) ** -14) <= kl <= exact * (1 + mpmath.mpf(10) ** -12)
    assert bound.theorem == "pac_bayes.drawn"


def test_the_best_network_is_named_and_read_back():
    networks = [network(name="a"), network(90.0, name="b"), network(90.0, 700, name="c")]
    bound = drawn_risk(networks, 5000, 0.05, choice_nats=1.0)
    assert bound.terms["name"] == "b"
    assert [row["name"] for row in bound.terms["networks"]] == ["a", "b", "c"]
    assert THEOREMS[bound.theorem].recompute(Fields(bound.terms), 0.05, ()) == bound


def test_a_density_below_the_priors_is_no_gain_below_the_errors():
    bound = drawn_risk([network(-1e6, 50)], 100, 0.05)
    assert 0.5 <= bound.value <= 0.5 + 1e-15
    assert THEOREMS[bound.theorem].recompute(Fields(bound.terms), 0.05, ()) == bound


def test_it_is_near_the_random_predictor_of_the_same_divergence():
    whole = Posterior(
        name="q",
        distance_nats_upper=100.0,
        spread_nats_upper=0.0,
        risk=DrawnErrors(draws=10**8, trials=10**8, errors=12 * 10**6),
    )
    gibbs = posterior_risk([whole], 5000, 0.05, 1e-6)
    assert drawn_risk([network()], 5000, 0.05).value == pytest.approx(gibbs.value, rel=1e-3)


def test_numbers_out_of_range_are_refused():
    for networks, message in (
        ([], "No drawn network"),
        ([network(math.nan)], "density of h"),
        ([network(errors=5001)], "5001 errors"),
    ):
        with pytest.raises(UsageError, match=message):
            drawn_risk(networks, 5000, 0.05)
    with pytest.raises(UsageError, match="choice_nats"):
        drawn_risk([network()], 5000, 0.05, choice_nats=-1.0)
    with pytest.raises(UsageError, match="delta"):
        drawn_risk([network()], 5000, 1.0)
