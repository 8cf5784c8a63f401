"""Sums of squares and distances, one-sided, against exact rational arithmetic."""

import math
from fractions import Fraction

import mpmath
import pytest
import torch

from dlgen_cli.spectra import (
    largest_magnitude,
    log_sum_lower,
    squared_distance_upper,
    sum_of_squares,
    sum_up,
)
from dlgen_cli.spectra.sums import row_norms


def exact_sum(tensor):
    return sum(Fraction(value) ** 2 for value in tensor.double().flatten().tolist())


@pytest.mark.parametrize("size", [0, 1, 1000, 40_000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_sum_of_squares_encloses_the_exact_one(size, dtype):
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(size)).to(dtype)
    exact = exact_sum(tensor)
    found = sum_of_squares(tensor)
    assert Fraction(found.lower) <= exact <= Fraction(found.upper)
    assert found.upper - found.lower <= 1e-10 * found.upper


@pytest.mark.parametrize("entry", [1.3e-162, 1.6e-162, 2.2e-162, 5e-324])
@pytest.mark.parametrize("count", [1, 3, 20_000])
def test_squares_among_the_subnormals_are_enclosed(entry, count):
    """A square just above half the least float is rounded up to it."""
    found = sum_of_squares(torch.full((count,), entry, dtype=torch.float64))
    assert Fraction(found.lower) <= count * Fraction(entry) ** 2 <= Fraction(found.upper)


def test_distance_is_an_upper_bound_and_zero_only_where_equal():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 3000, generator=generator)
    exact = sum(
        (Fraction(a) - Fraction(b)) ** 2 for a, b in zip(left.tolist(), right.tolist(), strict=True)
    )
    found = squared_distance_upper(left, right)
    assert exact <= Fraction(found) <= exact * (1 + Fraction(1, 10**10))
    assert squared_distance_upper(left, left.clone()) == 0.0
    nudged = left.double().clone()
    nudged[7] += 1e-13
    assert squared_distance_upper(left.double(), nudged) > 0.0
    tiny = torch.tensor([1e-200], dtype=torch.float64)
    assert squared_distance_upper(tiny, 2 * tiny) > 0.0


@pytest.mark.parametrize("shape", [(1, 1), (3, 70_000), (2000, 40), (1, 3)])
def test_norms_of_rows_are_those_of_each_row(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = row_norms(matrix)
    assert found.dtype == torch.float64
    for row in {0, shape[0] // 2, shape[0] - 1}:
        exact = math.hypot(*matrix[row].double().tolist())
        assert found[row].item() == pytest.approx(exact, rel=1e-12)


def test_largest_magnitude_is_exact():
    assert largest_magnitude(torch.tensor([0.25, -0.75, 0.5])) == 0.75
    assert largest_magnitude(torch.zeros(0)) == 0.0


def test_sum_up_is_not_below_the_exact_sum():
    parts = [0.1] * 10
    assert Fraction(sum_up(parts)) >= sum(Fraction(part) for part in parts)
    assert sum_up([0.0, 0.0]) == 0.0
    assert math.isfinite(sum_up([1e300, 1e300]))


@pytest.mark.parametrize("size", [0, 1, 511, 513, 40_000])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_sum_of_logarithms_is_a_lower_bound(size, scale):
    generator = torch.Generator().manual_seed(size)
    tensor = (scale * torch.randn(size, generator=generator).exp()).double()
    with mpmath.workdps(40):
        exact = mpmath.fsum(mpmath.log(mpmath.mpf(value)) for value in tensor.tolist())
        found = log_sum_lower(tensor)
        assert found <= exact
        assert exact - found <= size * 2.0**-51 + 1e-15 * abs(exact) + 1e-29


@pytest.mark.parametrize("value", [1.0, 1.0 + 2.0**-52, 1.0 - 2.0**-53, 5e-324, 1.7e308])
def test_a_sum_of_equal_logarithms_is_a_lower_bound(value):
    tensor = torch.full((3000,), value, dtype=torch.float64)
    with mpmath.workdps(40):
        exact = 3000 * mpmath.log(mpmath.mpf(value))
        assert exact - 3000 * 2.0**-51 - 1e-15 * abs(exact) <= log_sum_lower(tensor) <= exact
