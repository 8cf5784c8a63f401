"""Products tile by tile, against whole products and exact sums."""

from fractions import Fraction

import pytest
import torch

from dlgen_cli.spectra import tiles


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("order", "terms"), [(1, 1), (7, 3), (200, 600), (97, 513)])
def test_a_product_is_added_to_the_lower_triangle(order, terms):
    left, right, start = normal(order, terms), normal(order, terms, seed=1), normal(order, order)
    target = start.clone()
    tiles.add_product(target, left, right)
    expected = start + left @ right.mT
    torch.testing.assert_close(target.tril(), expected.tril(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [1, 7, 200])
def test_a_triangle_times_its_transpose_is_subtracted(order):
    lower, start = normal(order, order).tril(), normal(order, order, seed=1)
    target = start.clone()
    tiles.subtract_triangle_product(target, lower)
    expected = start - lower @ lower.mT
    torch.testing.assert_close(target.tril(), expected.tril(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [1, 97, 200])
def test_the_lower_triangle_is_mirrored_and_measured(order):
    lower = normal(order, order)
    norm = tiles.symmetric_norm_upper(lower)
    symmetric = lower.tril() + lower.tril(-1).mT
    exact = sum(Fraction(one) ** 2 for one in symmetric.flatten().tolist())
    assert exact <= Fraction(norm) ** 2 <= exact * (1 + Fraction(1, 10**9))
    tiles.mirror(lower)
    assert torch.equal(lower, symmetric)


def test_an_entry_errs_by_no_more_than_is_said():
    left, right = normal(3, 700), normal(3, 700, seed=1)
    target = torch.zeros(3, 3, dtype=torch.float64)
    tiles.add_product(target, left, right)
    for row in range(3):
        for column in range(row + 1):
            pairs = list(zip(left[row].tolist(), right[column].tolist(), strict=True))
            exact = sum(Fraction(a) * Fraction(b) for a, b in pairs)
            magnitude = sum(abs(Fraction(a) * Fraction(b)) for a, b in pairs)
            error = abs(Fraction(float(target[row, column])) - exact)
            assert error <= Fraction(tiles.product_error(700)) * magnitude


@pytest.mark.parametrize("rows", [1, 513])
def test_columns_are_measured(rows):
    matrix = normal(rows, 4)
    found = tiles.column_squares(matrix)
    torch.testing.assert_close(found, matrix.square().sum(dim=0), rtol=1e-13, atol=0)
