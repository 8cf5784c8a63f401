"""The limit on a mean by betting, against mpmath and against exact and cruder limits."""

import math
from collections import Counter
from decimal import Decimal

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.bounds import betting, clopper_pearson
from dlgen_cli.bounds.betting import LEVELS, betting_mean_upper, loss_counts, stakes
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.errors import UsageError

NATS = Decimal(20).ln()
LOSSES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def ln_wealth(losses, p):
    """Of losses as they are, not rounded."""
    wealth = [
        mpmath.fprod((1 - c) + c * (1 - mpmath.mpf(x)) / (1 - p) for x in losses)
        for c in map(mpmath.mpf, stakes(len(losses)))
    ]
    return mpmath.log(mpmath.fsum(wealth) / len(wealth)) if any(wealth) else -mpmath.inf


@given(LOSSES)
def test_it_is_where_the_wealth_refutes_and_close_above(losses):
    with mpmath.workdps(60):
        found = mpmath.mpf(str(betting_mean_upper(loss_counts(Counter(losses)), NATS)))
        rounded = [math.ceil(x * LEVELS) / LEVELS for x in losses]
        if found < 1:
            nats = mpmath.mpf(str(NATS))
            assert ln_wealth(losses, found) >= ln_wealth(rounded, found) >= nats
            below = found + (1 - found) * mpmath.log(1 - found) * mpmath.mpf("1e-10")
            assert ln_wealth(rounded, below) < nats
        assert found >= sum(losses) / len(losses)


@given(LOSSES, st.floats(0, 1))
def test_it_rises_with_a_loss_and_with_the_price(losses, other):
    nats = NATS + 3
    value = betting_mean_upper(loss_counts(Counter(losses)), nats)
    assert value >= betting_mean_upper(loss_counts(Counter(losses)), NATS)
    more = [max(losses[0], other), *losses[1:]]
    assert betting_mean_upper(loss_counts(Counter(more)), nats) >= value


@pytest.mark.parametrize(("errors", "n"), [(0, 50), (3, 50), (40, 1000), (1000, 1000), (7, 10**9)])
def test_it_is_above_the_exact_limit_of_a_count(errors, n):
    counts = {level: count for level, count in ((0, n - errors), (LEVELS, errors)) if count}
    exact = clopper_pearson(errors, n, 0.05).value
    assert exact <= betting(counts, 0.05).value <= 1.7 * exact


def test_little_variance_is_worth_much():
    n = 20_000
    counts = loss_counts(Counter(0.25 + 0.001 * (i % 7) for i in range(n)))
    hoeffding = math.sqrt(math.log(20) / (2 * n))
    assert betting(counts, 0.05).value - 0.253 < hoeffding / 4


def test_it_is_read_back_from_its_counts():
    bound = betting(loss_counts({0.0: 20, 0.3: 40, 1.0: 20}), 0.05, union_nats=2.5)
    assert bound.terms["examples"] == 80
    assert bound.terms["empirical_risk"] >= 0.4
    assert THEOREMS[bound.theorem].recompute(Fields(bound.terms), 0.05, ()) == bound


def test_losses_out_of_their_range_are_refused():
    for losses in ([1.5], [-0.1], [math.nan]):
        with pytest.raises(UsageError, match="from 0 to 1"):
            loss_counts(Counter(losses))
    for counts in ({}, {0: 0}, {-1: 3}, {LEVELS + 1: 1}):
        with pytest.raises(UsageError):
            betting(counts, 0.05)
    with pytest.raises(UsageError, match="union_nats"):
        betting({0: 3}, 0.05, union_nats=-1)
