"""Enclosures of singular values against 40 digits, prescribed spectra and known matrices."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.spectra.dense import singular_value_bounds


def exact_singular_values(matrix):
    with mpmath.workdps(40):
        values = mpmath.svd_r(mpmath.matrix(matrix.double().tolist()), compute_uv=False)
        return sorted(values, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (24, 24), (3, 20), (20, 3)])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e150])
def test_enclosures_hold_and_are_tight(shape, scale):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    matrix *= scale
    bounds = singular_value_bounds(matrix)
    exact = exact_singular_values(matrix)
    assert len(bounds) == min(shape)
    for bound, value in zip(bounds, exact, strict=True):
        assert mpmath.mpf(bound.lower) <= value <= mpmath.mpf(bound.upper)
    assert bounds[0].upper <= float(exact[0]) * (1 + 1e-11)
    assert bounds[-1].upper <= float(exact[-1]) * (1 + 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_narrow_types_are_taken_exactly(dtype):
    matrix = torch.randn(12, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    bounds = singular_value_bounds(matrix)
    for bound, value in zip(bounds, exact_singular_values(matrix), strict=True):
        assert mpmath.mpf(bound.lower) <= value <= mpmath.mpf(bound.upper)


def test_a_prescribed_spectrum_is_enclosed_down_to_rounding():
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(40, 40)))
    right, _ = np.linalg.qr(rng.normal(size=(60, 40)))
    spectrum = np.geomspace(1.0, 1e-12, 40)
    bounds = singular_value_bounds(torch.from_numpy((left * spectrum) @ right.T))
    slack = 1e-13  # rounding of the product above
    for bound, value in zip(bounds, spectrum, strict=True):
        assert bound.lower - slack <= value <= bound.upper + slack


def test_exact_matrices():
    hadamard = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    for _ in range(3):
        hadamard = torch.kron(hadamard, torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    for bound in singular_value_bounds(hadamard):
        assert bound.lower <= 4.0 <= bound.upper <= 4.0 * (1 + 1e-12)
    assert [b.upper for b in singular_value_bounds(torch.zeros(3, 5))] == [0.0] * 3
    ones = singular_value_bounds(torch.ones(7, 5))
    assert ones[0].lower <= math.sqrt(35) <= ones[0].upper
    assert ones[1].upper < 1e-12


@settings(max_examples=40)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    exponent=st.integers(-900, 900),
)
def test_laws(rows, columns, seed, exponent):
    matrix = torch.randn(
        rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    bounds = singular_value_bounds(matrix)
    transposed = singular_value_bounds(matrix.T)
    half = exponent // 2
    scaled = singular_value_bounds(matrix * 2.0**half * 2.0 ** (exponent - half))
    for one, two, three in zip(bounds, transposed, scaled, strict=True):
        assert one.lower <= two.upper
        assert two.lower <= one.upper
        assert three.lower <= math.ldexp(one.upper, exponent)
        assert math.ldexp(one.lower, exponent) <= three.upper
    frobenius = math.fsum((matrix**2).flatten().tolist())
    assert sum(bound.lower**2 for bound in bounds) <= frobenius * (1 + 1e-13)
    assert sum(bound.upper**2 for bound in bounds) >= frobenius * (1 - 1e-13)


def test_a_wrong_decomposition_cannot_pass(monkeypatch):
    """The enclosure rests on residuals: a library that errs widens it, and never breaks it."""
    matrix = torch.randn(10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    exact = exact_singular_values(matrix)
    honest = torch.linalg.svd

    def wrong(scaled, *, full_matrices):
        left, values, right = honest(scaled, full_matrices=full_matrices)
        return left * 0.999, values * 0.9, right

    monkeypatch.setattr(torch.linalg, "svd", wrong)
    for bound, value in zip(singular_value_bounds(matrix), exact, strict=True):
        assert mpmath.mpf(bound.lower) <= value <= mpmath.mpf(bound.upper)
