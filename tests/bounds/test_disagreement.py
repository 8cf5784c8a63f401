"""The bound through a surrogate against scipy's exact limits."""

import pytest
import scipy.stats

from dlgen_cli.bounds import disagreement_risk
from dlgen_cli.errors import UsageError


def limit(errors, examples, delta):
    return scipy.stats.beta.ppf(1 - delta, errors + 1, examples - errors)


@pytest.mark.parametrize(
    ("apart", "n", "errors", "held"), [(0, 5000, 400, 5000), (37, 1000, 3, 90), (1, 10, 0, 10)]
)
def test_it_is_the_sum_of_two_limits_at_half_of_delta(apart, n, errors, held):
    bound = disagreement_risk(apart, n, errors, held, 0.05)
    exact = limit(apart, n, 0.025) + limit(errors, held, 0.025)
    assert exact * (1 - 1e-12) <= bound.value <= exact * (1 + 1e-9)
    assert bound.terms["surrogate"] == pytest.approx(limit(errors, held, 0.025))
    assert bound.status == "holds"


def test_it_is_never_above_one():
    bound = disagreement_risk(10, 10, 10, 10, 0.05)
    assert (bound.value, bound.status) == (1, "vacuous")


@pytest.mark.parametrize(
    "numbers", [(-1, 10, 0, 10, 0.05), (0, 0, 0, 10, 0.05), (0, 9, 11, 10, 0.05), (0, 9, 0, 9, 1)]
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(UsageError):
        disagreement_risk(*numbers)
