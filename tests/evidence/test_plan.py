"""Shares of delta."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.evidence.plan import equal_share


@given(st.floats(1e-300, 1, exclude_max=True), st.integers(1, 1000))
def test_equal_shares_never_add_up_to_more(delta: float, count: int):
    share = equal_share(delta, count)
    assert Fraction(share) * count <= Fraction(delta)
    assert share == pytest.approx(delta / count, rel=1e-12)
