"""The resize and the fixed normalization against torch, dense matrices and the pipeline."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlgen_cli.architectures.fixed_normalization import FixedNormalization
from dlgen_cli.architectures.row_normalization import LEAST_NORM, RowNormalization
from dlgen_cli.networks.input_maps import interpolation_rows, largest_column_sum
from dlgen_cli.networks.tracer import trace

SIZES = [1, 2, 3, 5, 7, 8, 13, 16, 31, 32, 33, 48, 64, 100, 128]


class Resize(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.settings = settings

    def forward(self, x):
        return functional.interpolate(x, **self.settings)


def torch_matrix(cells, count):
    """The matrix of one axis as torch applies it."""
    units = torch.eye(cells, dtype=torch.float64).reshape(cells, 1, cells, 1)
    resized = functional.interpolate(units, size=(count, 1), mode="bilinear", align_corners=False)
    return resized.reshape(cells, count).T


def exact_matrix(cells, count):
    matrix = torch.zeros(count, cells, dtype=torch.float64)
    for index, row in enumerate(interpolation_rows(cells, count)):
        for cell, weight in row.items():
            matrix[index, cell] = float(weight)
    return matrix


@pytest.mark.parametrize("cells", SIZES)
def test_an_axis_is_the_matrix_that_torch_applies_and_its_norm_is_bounded(cells):
    for count in SIZES:
        matrix = torch_matrix(cells, count)
        torch.testing.assert_close(exact_matrix(cells, count), matrix, rtol=0, atol=1e-12)
        rows = interpolation_rows(cells, count)
        assert all(sum(row.values()) == 1 for row in rows)
        norm = float(torch.linalg.matrix_norm(matrix, 2))
        bound = math.sqrt(largest_column_sum(rows, cells))
        assert norm <= bound * (1 + 1e-12)
        if count % cells == 0:
            assert largest_column_sum(rows, cells) == Fraction(count, cells)
            assert bound <= norm * (1 + 1e-12)  # attained by constant maps
        elif count > cells:
            assert bound <= 1.25 * norm


@pytest.mark.parametrize("size", [(5, 9), (3, 3), (1, 7), (12, 10), (6, 4)])
def test_the_node_bounds_the_norm_of_the_whole_map(size):
    height, width = 6, 5
    module = Resize(size=size, mode="bilinear")
    network = trace(module, (2, height, width))
    node = network.nodes[-1]
    assert (node.kind, node.shape) == ("scale", (2, *size))
    units = torch.eye(height * width, dtype=torch.float64).reshape(-1, 1, height, width)
    norm = float(torch.linalg.matrix_norm(module(units).flatten(1), 2))
    assert norm <= node.factor_upper * (1 + 1e-12)
    assert node.factor_upper <= 1.25 * norm


def test_every_spelling_of_the_resize_has_the_same_rule():
    class Positional(nn.Module):
        def forward(self, x):
            return functional.interpolate(x, (8, 8), None, "bilinear", False)  # noqa: FBT003

    spellings = (
        Positional(),
        Resize(size=8, mode="bilinear", align_corners=False),
        nn.Sequential(nn.Upsample(size=8, mode="bilinear")),
    )
    for module in spellings:
        assert trace(module, (1, 4, 4)).nodes[-1].factor_upper == 2.0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"size": 8, "mode": "area"}, "area"),
        ({"size": 8, "mode": "bicubic"}, "bicubic"),
        ({"size": 8, "mode": "bilinear", "align_corners": True}, "corners"),
        ({"size": 8, "mode": "bilinear", "antialias": True}, "aliasing"),
        ({"scale_factor": 2.2, "mode": "bilinear"}, "factor"),
    ],
)
def test_another_interpolation_has_no_rule(settings, reason):
    node = trace(Resize(**settings), (1, 4, 4)).unsupported
    assert node is not None
    assert reason in node.reason


def test_the_fixed_normalization_is_the_usual_one_and_its_norms_are_bounded():
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    module = FixedNormalization(means, deviations)
    assert not module.state_dict()
    x = torch.rand(4, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack(
        [(x[:, c] - means[c]) / deviations[c] for c in range(3)],
        dim=1,
    )
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-6)
    node = trace(nn.Sequential(module), (3, 6, 5)).nodes[-1]
    assert (node.kind, node.layer) == ("scale", None)
    at_zero = float(module(torch.zeros_like(x))[0].norm())
    assert at_zero <= node.offset_upper * (1 + 1e-12)
    assert node.offset_upper == pytest.approx(at_zero, rel=1e-12)
    moved = x.clone()
    moved[:, 1] += 0.25  # along the channel with the largest factor
    change = float((module(moved) - module(x)).norm() / (moved - x).norm())
    assert change <= node.factor_upper * (1 + 1e-12)
    assert node.factor_upper == pytest.approx(change, rel=1e-12)


def test_normalized_rows_are_bounded_and_move_no_faster_than_the_constant():
    parts = (3, 5)
    node = trace(nn.Sequential(RowNormalization(parts)), (8,)).nodes[-1]
    assert (node.kind, node.operation) == ("lipschitz", "rownormalization")
    draw = torch.Generator().manual_seed(0)
    near = torch.randn(4000, 8, generator=draw, dtype=torch.float64) * LEAST_NORM
    step = torch.randn(4000, 8, generator=draw, dtype=torch.float64) * LEAST_NORM / 1e3
    one, two = RowNormalization(parts)(near), RowNormalization(parts)(near + step)
    ratios = (one - two).norm(dim=1) / step.norm(dim=1)
    assert 0.7 * node.factor_upper < ratios.max() <= node.factor_upper
    assert one.norm(dim=1).max() <= node.cap_upper * (1 + 1e-12) <= math.sqrt(8) * (1 + 1e-9)
    assert node.spread_upper == pytest.approx(2 * node.cap_upper)
