"""Products of thin factors against the product that is formed, in float64 and in 100 digits."""

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.spectra.products import product_norms

SIZES = st.integers(min_value=1, max_value=9)


def gaussian(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(rows=SIZES, inner=SIZES, columns=SIZES, seed=st.integers(min_value=0, max_value=99))
@settings(max_examples=60)
def test_the_singular_values_of_the_product_are_enclosed(rows, inner, columns, seed):
    left, right = gaussian(rows, inner, seed=seed), gaussian(inner, columns, seed=seed + 1)
    found = product_norms(left, right)
    exact = torch.linalg.svdvals(left @ right)
    assert len(found.singular_values) == min(rows, inner, columns)
    for interval, value in zip(found.singular_values, exact.tolist(), strict=False):
        assert interval.lower <= value * (1 + 1e-12) + 1e-13
        assert value * (1 - 1e-12) - 1e-13 <= interval.upper
        assert interval.upper - interval.lower <= 1e-11 * (1 + exact[0].item())
    norm = torch.linalg.norm(left @ right).item()
    assert found.frobenius_norm.lower <= norm * (1 + 1e-12)
    assert norm * (1 - 1e-12) <= found.frobenius_norm.upper <= norm * (1 + 1e-10) + 1e-11


def test_one_direction_against_a_hundred_digits():
    left, right = gaussian(6, 2, seed=3), gaussian(2, 5, seed=4)
    product = mpmath.matrix(left.tolist()) * mpmath.matrix(right.tolist())
    exact = sorted(mpmath.svd_r(product, compute_uv=False), reverse=True)
    for interval, value in zip(product_norms(left, right).singular_values, exact, strict=False):
        assert interval.lower <= value <= interval.upper


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e150])
def test_factors_of_any_size(scale):
    left, right = gaussian(40, 3, seed=5), gaussian(3, 30, seed=6)
    (plain, *_), (found, *_) = (
        product_norms(left * one, right).singular_values for one in (1.0, scale)
    )
    assert found.lower <= plain.upper * scale
    assert plain.lower * scale <= found.upper <= plain.upper * scale * (1 + 1e-10)


def test_a_zero_factor_gives_exactly_zero():
    found = product_norms(torch.zeros(5, 2), torch.ones(2, 4))
    assert [one.upper for one in found.singular_values] == [0.0, 0.0]
    assert found.frobenius_norm.upper == 0.0


def test_thin_factors_of_a_large_product_are_cheap():
    found = product_norms(gaussian(200_000, 4, seed=7), gaussian(4, 200_000, seed=8))
    top = found.singular_values[0]
    assert 0 < top.lower <= top.upper <= top.lower * (1 + 1e-8)
