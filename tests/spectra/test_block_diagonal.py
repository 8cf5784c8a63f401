"""The largest spectral norm of some matrices, against LAPACK's singular values."""

import pytest
import torch

from dlgen_cli.spectra.block_diagonal import block_diagonal_norm


@pytest.mark.parametrize("shape", [(1, 30, 20), (1, 80, 100), (9, 12, 40), (7, 90, 70)])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_that_of_the_largest_block(shape, seed):
    blocks = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
    blocks /= blocks.abs().max()
    exact = float(torch.linalg.svdvals(blocks).max())
    found = block_diagonal_norm(blocks)
    assert found.lower <= exact * (1 + 1e-13)
    assert exact * (1 - 1e-13) <= found.upper <= exact * (1 + 3e-9)


def test_equal_blocks_and_one_that_looks_small():
    block = torch.randn(70, 80, generator=torch.Generator().manual_seed(2)).double() / 6
    blocks = block.repeat(12, 1, 1)
    blocks[4] = torch.eye(70, 80, dtype=torch.float64)
    blocks[4] *= torch.linalg.matrix_norm(block, 2) * (1 + 1e-6)  # no vector stands out
    blocks /= blocks.abs().max()
    exact = float(torch.linalg.svdvals(blocks).max())
    found = block_diagonal_norm(blocks)
    assert found.lower <= exact * (1 + 1e-13)
    assert exact * (1 - 1e-13) <= found.upper <= exact * (1 + 3e-9)
