"""The compressed network's errors and code length: what the choice of a code costs."""

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.evidence.compression_occam import union_nats


@given(st.integers(1, 10**15))
def test_the_price_of_a_choice_is_not_below_its_logarithm(choices):
    exact = mpmath.log(choices)
    assert exact <= union_nats(choices) <= exact * (1 + mpmath.mpf(2) ** -48)


def test_the_code_that_is_evaluated_is_named_and_its_choice_paid(digits_report, bound_of, line_of):
    bound = bound_of(digits_report, "compression.occam")
    line = line_of(bound, "Every bit of the stored network")
    assert "at 8 bits for each parameter" in line["evidence"]
    choices = int(line["evidence"].split("one of ")[1].split()[0])
    assert choices == 8  # the ranks 1 to 64 and the whole weights, at one width
    assert bound["terms"]["union_nats"] == pytest.approx(float(mpmath.log(choices)), rel=1e-14)
