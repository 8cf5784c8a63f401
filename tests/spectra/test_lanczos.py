"""Lanczos's pair against the whole decomposition."""

import pytest
import torch

from dlgen_cli.spectra.lanczos import leading_pair


def with_spectrum(values):
    values = torch.tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    square = torch.randn(len(values), len(values), dtype=torch.float64, generator=generator)
    turned = torch.linalg.qr(square)[0]
    return (turned * values) @ turned.mT


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [1.0, 2.0],
        [1.0, 1.0, 1.0],
        [0.0] * 20 + [1e-3],
        [n / 60 for n in range(61)],
        [1.0] * 99 + [1.5],
    ],
)
def test_it_is_the_largest_eigenpair(values):
    matrix = with_spectrum(values)
    value, vector = leading_pair(matrix)
    assert value == pytest.approx(max(values), rel=1e-10)
    assert float(vector.norm()) == pytest.approx(1, rel=1e-10)
    residual = matrix @ vector - value * vector
    assert float(residual.norm()) <= 1e-5 * value


def test_a_ritz_value_is_at_most_the_largest_eigenvalue():
    nearly_equal = with_spectrum([1 + 1e-9 * n for n in range(300)])
    value, _ = leading_pair(nearly_equal)
    assert value * (1 + 1e-13) >= 1
    assert value <= (1 + 299e-9) * (1 + 1e-13)


def test_the_same_matrix_gives_the_same_bits():
    matrix = with_spectrum([n / 30 for n in range(31)])
    (one, vector), (two, other) = leading_pair(matrix), leading_pair(matrix)
    assert one == two
    assert torch.equal(vector, other)
