"""The Monte Carlo step: exact tails of independent draws, Chernoff's bound for whole samples."""

import math
from decimal import Decimal

import pytest
from exact import exact_kl
from scipy import stats

from dlgen_cli.bounds.gibbs_risk import DrawnErrors, require_deltas
from dlgen_cli.errors import UsageError


@pytest.mark.parametrize(("draws", "errors"), [(1, 0), (50, 0), (2000, 60), (2000, 1999)])
def test_one_example_for_each_draw_is_the_binomial_limit(draws, errors):
    one = DrawnErrors(draws=draws, trials=draws, errors=errors)
    limit = stats.beta.ppf(0.99, errors + 1, draws - errors)
    found = float(one.risk_upper(Decimal("0.01")))
    assert found == pytest.approx(limit, rel=1e-10)
    assert stats.binom.cdf(errors, draws, found) <= 0.01 * (1 + 1e-10)


def test_examples_beyond_the_first_of_a_draw_do_not_count():
    whole = DrawnErrors(draws=50, trials=50 * 300, errors=50 * 9)
    found = whole.risk_upper(Decimal("0.01"))
    assert exact_kl(0.03, found) == pytest.approx(math.log(100) / 50, rel=1e-12)
    assert found == DrawnErrors(draws=50, trials=100, errors=3).risk_upper(Decimal("0.01"))


def test_nothing_but_errors_leaves_nothing_to_say():
    assert DrawnErrors(draws=3, trials=3, errors=3).risk_upper(Decimal("0.01")) == 1


def test_counts_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="each draw"):
        DrawnErrors(draws=3, trials=10, errors=1)
    with pytest.raises(UsageError, match="draws"):
        DrawnErrors(draws=0, trials=10, errors=1)
    with pytest.raises(UsageError, match="errors"):
        DrawnErrors(draws=5, trials=10, errors=11)


@pytest.mark.parametrize(("delta", "other"), [(0.6, 0.6), (0.5, 0.5), (0.0, 0.1), (0.1, 1.0)])
def test_two_steps_that_fail_with_certainty_are_refused(delta, other):
    with pytest.raises(UsageError, match="delta"):
        require_deltas(delta, other)
