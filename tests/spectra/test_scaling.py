"""Powers of two leave a matrix and come back exactly, or to the safe side."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.spectra.scaling import with_exponent, without_exponent


@pytest.mark.parametrize("largest", [1.0, 3.5, 5e-324, 1.7e308, 2.0**-1022])
def test_the_largest_magnitude_is_between_a_half_and_one(largest):
    matrix = torch.tensor([[largest, -largest / 4], [0.0, largest / 2]], dtype=torch.float64)
    found, exponent = without_exponent(matrix)
    assert 0.5 <= float(found.abs().max()) < 1
    assert [Fraction(x) * Fraction(2) ** exponent for x in found.flatten().tolist()] == [
        Fraction(x) for x in matrix.flatten().tolist()
    ]


def test_zero_has_the_exponent_zero():
    found, exponent = without_exponent(torch.zeros(2, 3))
    assert (exponent, float(found.abs().max())) == (0, 0.0)


@given(st.floats(0.0, 1e10), st.integers(-1200, 1200))
def test_it_errs_to_the_side_that_is_asked_for(value, exponent):
    exact = Fraction(value) * Fraction(2) ** exponent
    below, above = (with_exponent(value, exponent, toward=end) for end in (0.0, math.inf))
    assert Fraction(below) <= exact
    assert above == math.inf or exact <= Fraction(above)
    # among the subnormals the nearest float is a step away from either end
    step = math.nextafter(below, math.inf)
    assert above in {below, math.inf} or math.nextafter(step, math.inf) >= above
