"""Proofs by Cholesky's method against eigenvalues in float64."""

import pytest
import torch

from dlgen_cli.spectra.definite import proved_definite, single_loss

KINDS = (torch.complex64, torch.complex128, torch.float64)


def gram(order: int, seed: int, dtype: torch.dtype) -> tuple[torch.Tensor, float]:
    """A Gram matrix of the type and its largest eigenvalue."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    factor = torch.randn(order + seed % 7, order, dtype=wide, generator=generator)
    matrix = (factor.mH @ factor).to(dtype)
    return matrix[None], float(torch.linalg.eigvalsh(matrix.to(wide))[-1])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("order", [1, 2, 17, 300])
def test_nothing_is_proved_of_a_threshold_below_the_largest_eigenvalue(order, dtype):
    for seed in range(8):
        matrix, largest = gram(order, seed, dtype)
        for share in (0.5, 0.99, 1 - 1e-9):
            assert not proved_definite(-matrix, largest * share, 0.0)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("order", [2, 17, 70, 300])
def test_a_threshold_a_little_above_is_proved(order, dtype):
    above = 1 + (2 * single_loss(order) if dtype == torch.complex64 else 1e-8)
    for seed in range(4):
        matrix, largest = gram(order, seed, dtype)
        assert proved_definite(-matrix, largest * above, 0.0)


def test_an_error_is_paid():
    matrix, largest = gram(20, 0, torch.complex128)
    assert proved_definite(-matrix, largest * 1.1, largest * 0.09)
    assert not proved_definite(-matrix, largest * 1.1, largest * 0.11)


@pytest.mark.parametrize("dtype", KINDS)
def test_each_of_a_batch_is_judged_by_itself(dtype):
    one, largest = gram(30, 1, dtype)
    broken = one.clone()
    broken[0, 0, 0] = torch.nan
    batch = -torch.cat([one, 2 * one, broken, one / 2])
    assert proved_definite(batch, largest * 1.05, 0.0).tolist() == [True, False, False, True]
