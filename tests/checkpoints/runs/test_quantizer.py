"""Bits in, bits out: nearest levels, exact counts, and numbers that survive storage."""

import numpy as np
import pytest
import torch

from dlgen_cli.checkpoints.runs.low_rank import store_factors, store_whole
from dlgen_cli.checkpoints.runs.quantizer import quantize
from dlgen_cli.errors import UsageError


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 8, 12, 16, 20, 31, 32])
def test_entries_cost_b_bits_and_lie_on_the_nearest_level(bits):
    tensor = torch.randn(13, 5, generator=torch.Generator().manual_seed(bits)) * 0.3
    stored = quantize(tensor, bits)
    values = stored.values()
    assert values.shape == tensor.shape
    assert stored.payload.numel() == -(-bits * 65 // 8)
    assert stored.stored_bits == bits * 65 + 32
    error = (values - tensor.double()).abs().max().item()
    largest = tensor.abs().max().item()
    if bits == 32:
        assert error == 0.0
    elif bits == 16:
        assert error <= largest * 2.0**-11
    else:
        assert error <= largest / (2**bits - 1) * (1 + 1e-5)
        assert len(values.unique()) <= 2**bits
    assert np.array(stored.scale).view(np.uint64) % 2**32 == 0  # the lower half is not stored


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e-6, 1e30, 1e200])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_small_and_large_weights_keep_their_digits(scale, bits):
    tensor = torch.randn(50, dtype=torch.float64) * scale
    error = (quantize(tensor, bits).values() - tensor).abs().max() / tensor.abs().max()
    assert error <= 1.01 / (2**8 - 1)


def test_the_largest_float_has_a_scale():
    stored = quantize(torch.tensor([-1.7e308, 1.7976931348623157e308], dtype=torch.float64), 1)
    assert torch.isfinite(stored.values()).all()


def test_zeros_are_stored_without_nan():
    for bits in (1, 8, 16, 32):
        values = quantize(torch.zeros(4), bits).values()
        assert torch.all(values == 0)


@pytest.mark.parametrize("bits", [0, -1, 33, 64])
def test_widths_that_cannot_be_stored_are_refused(bits):
    with pytest.raises(UsageError, match=r"^b is"):
        quantize(torch.ones(2), bits)


def test_factors_reproduce_the_truncation():
    weight = torch.randn(20, 6, 3, 3, dtype=torch.float64)
    matrix = weight.flatten(start_dim=1)
    left, values, right = np.linalg.svd(matrix.numpy(), full_matrices=False)
    cut = (left[:, :4] * values[:4]) @ right[:4]
    stored = store_factors(weight, 4, 32)
    assert stored.rank == 4
    assert stored.stored_bits == 32 * 4 * (20 + 54) + 2 * 32
    found = stored.weight().flatten(start_dim=1).numpy()
    assert np.abs(found - cut).max() <= 1e-5
    assert stored.weight().shape == weight.shape
    whole = store_whole(weight, 8)
    assert whole.stored_bits == 8 * weight.numel() + 32
    assert whole.rank == 20
