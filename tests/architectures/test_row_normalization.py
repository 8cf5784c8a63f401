"""The normalization of rows against its definition."""

import torch

from dlgen_cli.architectures.row_normalization import LEAST_NORM, RowNormalization


def test_each_part_has_a_root_mean_square_of_one():
    x = torch.randn(20, 7, dtype=torch.float64) * 100
    y = RowNormalization([3, 4])(x)
    for part in y.split([3, 4], dim=1):
        torch.testing.assert_close(part.square().mean(1), torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(RowNormalization([3, 4])(5 * x), y)


def test_near_zero_it_is_linear():
    x = torch.randn(20, 4, dtype=torch.float64) * LEAST_NORM / 100
    torch.testing.assert_close(RowNormalization([4])(x), x * 2 / LEAST_NORM)
    assert not RowNormalization([4])(torch.zeros(1, 4)).any()
