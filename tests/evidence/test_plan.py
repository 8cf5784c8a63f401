"""Shares of delta, and products that must not fall out of the floats."""

import sys
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.pac_bayes_kl import _product
from dlgen_cli.evidence.plan import equal_share


@given(st.floats(1e-300, 1, exclude_max=True), st.integers(1, 1000))
def test_equal_shares_never_add_up_to_more(delta: float, count: int):
    share = equal_share(delta, count)
    assert Fraction(share) * count <= Fraction(delta)
    assert share == pytest.approx(delta / count, rel=1e-12)


def test_a_distance_below_the_floats_is_not_rounded_to_zero():
    product = _product(1e-300, Decimal("1e-300"))
    assert 0 < product <= sys.float_info.min


def test_a_distance_above_the_floats_is_refused():
    with pytest.raises(UsageError, match=r"exceeds the range of float64.*\n?.*larger --sigma"):
        _product(1e300, Decimal("1e300"))
