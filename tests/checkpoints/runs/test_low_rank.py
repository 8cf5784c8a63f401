"""Stored factors: their product, their rounding, and what they cost."""

import pytest
import torch

from dlgen_cli.checkpoints.runs.low_rank import store_factors, store_whole
from dlgen_cli.records import SCALE_BITS

WEIGHT = torch.randn(6, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_factors_in_32_bits_are_the_best_approximation(rank):
    stored = store_factors(WEIGHT, rank, 32)
    left, values, right = torch.linalg.svd(WEIGHT.flatten(1), full_matrices=False)
    best = (left[:, :rank] * values[:rank] @ right[:rank]).reshape(WEIGHT.shape)
    torch.testing.assert_close(stored.weight(), best, rtol=1e-6, atol=1e-6)
    assert (stored.rank, stored.shape) == (rank, (6, 2, 3))
    assert stored.stored_bits == 32 * rank * (6 + 6) + 2 * SCALE_BITS


def test_a_whole_weight_costs_its_entries_and_a_scale():
    stored = store_whole(WEIGHT, 8)
    assert stored.stored_bits == 8 * 36 + SCALE_BITS
    assert (stored.rank, stored.shape) == (6, (6, 2, 3))
    step = float(WEIGHT.abs().max()) / 255
    assert float((stored.weight() - WEIGHT).abs().max()) <= step * (1 + 1e-12)


@pytest.mark.parametrize("stored", [store_factors(WEIGHT, 2, 8), store_whole(WEIGHT, 8)])
def test_rounding_is_relative_to_the_magnitudes(stored):
    magnitude = stored.rounding_magnitude()
    assert magnitude.shape == WEIGHT.shape
    assert bool((magnitude >= stored.weight().abs() * (1 - 1e-14)).all())
