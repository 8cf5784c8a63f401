"""Small matrices enclosed together: exact singular values, and the same result alone."""

import math

import mpmath
import pytest
import torch

from dlgen_cli.spectra import enclose_each


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 7), (6, 2)])
def test_exact_values_lie_within(shape):
    torch.manual_seed(0)
    stack = torch.randn(3, *shape, dtype=torch.float64)
    for matrix, found in zip(stack, enclose_each(stack), strict=True):
        with mpmath.workdps(40):
            exact = mpmath.svd_r(mpmath.matrix(matrix.tolist()), compute_uv=False)
            squares = mpmath.fsum(mpmath.mpf(one) ** 2 for one in matrix.flatten().tolist())
        assert len(found.singular_values) == min(shape)
        for value, enclosed in zip(exact, found.singular_values, strict=True):
            assert enclosed.lower <= value <= enclosed.upper
            assert enclosed.upper - enclosed.lower < 1e-13 * float(exact[0]) * max(shape)
        assert found.sum_of_squares.lower <= squares <= found.sum_of_squares.upper


def test_a_matrix_does_not_depend_on_its_neighbours():
    torch.manual_seed(1)
    stack = torch.randn(9, 5, 4, dtype=torch.float64)
    together = enclose_each(stack)
    for index in range(9):
        assert enclose_each(stack[index : index + 1].clone()) == [together[index]]
    assert enclose_each(stack[3:7].clone()) == together[3:7]


@pytest.mark.parametrize("size", [1e300, 1e-300, 5e-324, 0.0])
def test_extreme_sizes_stay_enclosed(size):
    stack = torch.full((2, 2, 2), size, dtype=torch.float64)
    for found in enclose_each(stack):
        first, second = found.singular_values
        assert first.lower <= 2 * size <= first.upper
        assert first.upper <= 2 * size * (1 + 1e-12) + 1e-320
        assert second.lower == 0.0
        assert (first.upper == 0.0) == (size == 0.0)
        assert found.sum_of_squares.upper >= (math.inf if size > 1 else 4 * size * size)
