"""Enclosures through Gram matrices: prescribed spectra, 40 digits, wrong solvers."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch

from dlgen_cli.spectra import dense, gram, lanczos
from dlgen_cli.spectra.dense import singular_value_bounds, spectral_norm_bounds
from dlgen_cli.spectra.gram import all_eigenvalues, gram_matrix, largest_eigenvalue
from dlgen_cli.spectra.tiles import column_tiles, product_error


@pytest.fixture
def through_gram(monkeypatch):
    """Small matrices take the Gram matrix too, and nothing falls back to a decomposition."""
    monkeypatch.setattr(dense, "_SMALL_ORDER", 0)
    monkeypatch.setattr(dense, "_LARGEST_DECOMPOSED", 0)


def drawn(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)


def exact_singular_values(matrix):
    with mpmath.workdps(40):
        values = mpmath.svd_r(mpmath.matrix(matrix.double().tolist()), compute_uv=False)
        return sorted(values, reverse=True)


def with_spectrum(spectrum, rows, seed=0):
    """A matrix whose singular values are these up to ``1e-14`` of the largest."""
    columns = len(spectrum)
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(rows, columns)))
    right, _ = np.linalg.qr(rng.normal(size=(columns, columns)))
    return torch.from_numpy((left * np.asarray(spectrum)) @ right.T)


@pytest.mark.usefixtures("through_gram")
@pytest.mark.parametrize("shape", [(1, 1), (9, 9), (20, 7), (7, 20)])
@pytest.mark.parametrize("scale", [1.0, 1e-250, 1e250])
def test_every_value_is_enclosed_at_any_scale(shape, scale):
    matrix = drawn(*shape) * scale
    exact = exact_singular_values(matrix)
    found = singular_value_bounds(matrix)
    assert len(found) == len(exact)
    found = [*found, spectral_norm_bounds(matrix)]
    for bound, value in zip(found, [*exact, exact[0]], strict=True):
        assert mpmath.mpf(bound.lower) <= value <= mpmath.mpf(bound.upper)
    for bound in (found[0], found[-1]):
        assert bound.upper <= bound.lower * (1 + 1e-9)


@pytest.mark.usefixtures("through_gram")
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
)
def test_narrow_types_are_taken_exactly(dtype):
    matrix = drawn(12, 9, dtype=dtype)
    exact = exact_singular_values(matrix)
    for bound, value in zip(singular_value_bounds(matrix), exact, strict=True):
        assert mpmath.mpf(bound.lower) <= value <= mpmath.mpf(bound.upper)
    norm = spectral_norm_bounds(matrix)
    assert mpmath.mpf(norm.lower) <= exact[0] <= mpmath.mpf(norm.upper)


SPECTRA = {
    "geometric decay": np.geomspace(1.0, 1e-14, 150),
    "all equal": np.ones(150),
    "nearly equal": 1 - 1e-9 * np.arange(150),
    "a close pair at the top": np.r_[1.0, 1 - 1e-12, np.linspace(0.9, 0.1, 148)],
    "a dense edge": np.linspace(1.0, 0.99999, 150),
    "one large": np.r_[1.0, np.full(149, 1e-6)],
    "rank three": np.r_[3.0, 2.0, 1.0, np.zeros(147)],
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("scale", [1.0, 2.0**-600, 2.0**600])
def test_prescribed_spectra(name, scale):
    spectrum = SPECTRA[name]
    matrix = with_spectrum(spectrum, 200) * scale
    slack = 1e-14 * spectrum[0]  # rounding of the product that makes the matrix
    gram = gram_matrix(matrix)
    unit = math.ldexp(1.0, gram.exponent) / scale
    for bound, value in zip(all_eigenvalues(gram, matrix), spectrum, strict=True):
        assert math.sqrt(bound.lower) * unit - slack <= value
        assert value <= math.sqrt(bound.upper) * unit + slack
        assert math.sqrt(bound.upper) * unit <= value * (1 + 1e-9) + 1e-5 * spectrum[0]
    norm = spectral_norm_bounds(matrix)
    assert norm.lower / scale - slack <= spectrum[0] <= norm.upper / scale + slack
    assert norm.upper <= norm.lower * (1 + 1e-9)


def test_a_deficient_matrix_of_moderate_size_keeps_a_sharp_tail():
    matrix = with_spectrum(SPECTRA["rank three"], 200)
    found = singular_value_bounds(matrix)
    assert found[2].lower > 0.99
    assert found[3].upper < 1e-12


def test_tall_and_wide_agree_and_blocks_are_summed():
    tall = drawn(1300, 210, dtype=torch.float32)
    exact = np.linalg.svd(tall.double().numpy(), compute_uv=False)
    for matrix in (tall, tall.mT, tall.mT.contiguous()):
        found = singular_value_bounds(matrix)
        for bound, value in zip(found, exact, strict=True):
            assert bound.lower <= value * (1 + 1e-13)
            assert value * (1 - 1e-13) <= bound.upper <= value * (1 + 1e-9)
        norm = spectral_norm_bounds(matrix)
        assert norm.lower <= exact[0] * (1 + 1e-13)
        assert exact[0] * (1 - 1e-13) <= norm.upper <= norm.lower * (1 + 1e-9)


def test_the_error_of_a_gram_matrix_holds_against_exact_sums():
    matrix = drawn(700, 3)
    found = gram_matrix(matrix)
    with mpmath.workdps(40):
        wide = mpmath.matrix(matrix.tolist())
        error = mpmath.mnorm(wide.T * wide - mpmath.matrix(found.matrix.tolist()), "f")
        assert error <= found.error_upper < 1e-9
    assert torch.equal(found.matrix, found.matrix.mT)


def test_tiles_cover_all_columns_once():
    for order in (1, 95, 96, 97, 384, 1000, 4096):
        tiles = list(column_tiles(order))
        assert tiles[0][0] == 0
        assert tiles[-1][1] == order
        assert all(one[1] == two[0] for one, two in pairwise(tiles))


def test_blocks_make_the_error_of_a_long_sum_small():
    assert product_error(100_000) < 1000 * 2.0**-53
    assert product_error(10) >= 10 * 2.0**-53


@pytest.mark.usefixtures("through_gram")
def test_a_wrong_eigensolver_widens_and_never_breaks(monkeypatch):
    matrix = drawn(14, 10, seed=3)
    exact = exact_singular_values(matrix)
    honest = torch.linalg.eigh

    def wrong(symmetric, *, out=None):
        if out is None:
            return honest(symmetric)
        values, vectors = honest(symmetric.clone())
        out[0].copy_(values * 0.9)
        out[1].copy_(vectors * 0.999)
        return out

    monkeypatch.setattr(torch.linalg, "eigh", wrong)
    for bound, value in zip(singular_value_bounds(matrix), exact, strict=True):
        assert mpmath.mpf(bound.lower) <= value <= mpmath.mpf(bound.upper)


def test_a_gram_matrix_that_is_computed_twice_gives_the_same(monkeypatch):
    matrix = drawn(300, 140, seed=6)
    kept = all_eigenvalues(gram_matrix(matrix), matrix)
    monkeypatch.setattr(gram, "_KEPT", 0)
    assert all_eigenvalues(gram_matrix(matrix), matrix) == kept


@pytest.mark.usefixtures("through_gram")
@pytest.mark.parametrize("fault", [0.5, 1.5])
def test_a_wrong_cholesky_factor_widens_and_never_breaks(monkeypatch, fault):
    matrix = drawn(14, 10, seed=4)
    exact = exact_singular_values(matrix)
    honest = torch.linalg.cholesky_ex

    def wrong(symmetric):
        _, info = honest(symmetric)
        return torch.linalg.cholesky(symmetric.abs() + 99 * torch.eye(10)) * fault, info * 0

    monkeypatch.setattr(torch.linalg, "cholesky_ex", wrong)
    norm = spectral_norm_bounds(matrix)
    assert mpmath.mpf(norm.lower) <= exact[0] <= mpmath.mpf(norm.upper)


@pytest.mark.parametrize("factor", [1e-3, 0.999, 1.001, 10.0])
def test_a_wrong_estimate_costs_work_or_width_and_no_soundness(monkeypatch, factor):
    matrix = drawn(200, 150, seed=5)
    exact = float(torch.linalg.svdvals(matrix)[0])

    def wrong(symmetric):
        value, vector = lanczos.leading_pair(symmetric)
        return value * factor, torch.ones_like(vector)

    monkeypatch.setattr(gram, "leading_pair", wrong)
    norm = spectral_norm_bounds(matrix)
    assert norm.lower <= exact * (1 + 1e-13)
    assert exact * (1 - 1e-13) <= norm.upper
    if factor == 0.999:  # a little too low: noticed and mended
        assert norm.upper <= norm.lower * (1 + 1e-9)


def test_zero_and_empty_matrices():
    zero = torch.zeros(600, 500)
    assert spectral_norm_bounds(zero).upper == 0.0
    assert {bound.upper for bound in singular_value_bounds(zero)} == {0.0}
    assert singular_value_bounds(torch.zeros(0, 5)) == ()


def test_ends_beyond_the_floats_are_infinite():
    huge = torch.full((300, 300), 1e308, dtype=torch.float64)
    norm = spectral_norm_bounds(huge)
    assert norm.upper == math.inf
    assert norm.lower < math.inf


def test_the_largest_eigenvalue_of_a_known_matrix():
    """The Gram matrix of the second difference is known in closed form."""
    order = 200
    ones = torch.ones(order, dtype=torch.float64)
    matrix = 2 * torch.diag(ones) - torch.diag(ones[1:], 1) - torch.diag(ones[1:], -1)
    exact = 4 * math.sin(math.pi * order / (2 * (order + 1))) ** 2
    found = largest_eigenvalue(gram_matrix(matrix))
    assert math.sqrt(found.lower) <= exact <= math.sqrt(found.upper)
    assert found.upper <= found.lower * (1 + 2e-9)
