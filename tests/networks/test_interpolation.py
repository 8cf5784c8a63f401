"""Resizing against torch's own matrices, and against inputs that a gradient finds."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlgen_cli.bounds.node_rule import Moves, Place, Values
from dlgen_cli.bounds.node_rules import RULES
from dlgen_cli.bounds.norms import Norms
from dlgen_cli.networks.interpolation import filtered_rows, interpolation_rows, norm_squared
from dlgen_cli.networks.tracer import trace

SIZES = [1, 2, 3, 5, 8, 16, 31]
#: Our name, and torch's settings.
MODES = {
    "linear": ("linear", {"mode": "bilinear"}),
    "linear aligned": ("linear", {"mode": "bilinear", "align_corners": True}),
    "linear filtered": ("linear", {"mode": "bilinear", "antialias": True}),
    "cubic": ("cubic", {"mode": "bicubic"}),
    "cubic aligned": ("cubic", {"mode": "bicubic", "align_corners": True}),
    "cubic filtered": ("cubic", {"mode": "bicubic", "antialias": True}),
    "area": ("area", {"mode": "area"}),
}


class Resize(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.settings = settings

    def forward(self, x):
        return functional.interpolate(x, **self.settings)


def torch_matrix(cells, count, settings):
    """The matrix of one axis as torch applies it."""
    units = torch.eye(cells, dtype=torch.float64)[None, :, :, None].expand(1, cells, cells, 2)
    resized = functional.interpolate(units.contiguous(), size=(count, 2), **settings)
    return resized[0, :, :, 0].T


def exact_rows(name, settings, cells, count):
    if settings.get("antialias"):
        return filtered_rows(name, cells, count, Fraction(cells, count))
    if not settings.get("align_corners"):
        return interpolation_rows(name, cells, count)
    ratio = Fraction(cells - 1, count - 1) if count > 1 else Fraction(0)
    return interpolation_rows(name, cells, count, ratio, is_aligned=True)


def dense(rows, cells):
    matrix = torch.zeros(len(rows), cells, dtype=torch.float64)
    for index, row in enumerate(rows):
        for cell, weight in row.items():
            matrix[index, cell] = float(weight)
    return matrix


@pytest.mark.parametrize("mode", MODES)
def test_an_axis_is_the_matrix_that_torch_applies_and_its_norm_is_bounded(mode):
    name, settings = MODES[mode]
    for cells in SIZES:
        for count in SIZES:
            matrix = torch_matrix(cells, count, settings)
            rows = exact_rows(name, settings, cells, count)
            torch.testing.assert_close(dense(rows, cells), matrix, rtol=0, atol=1e-12)
            assert all(sum(row.values()) == 1 for row in rows)
            norm = float(torch.linalg.matrix_norm(matrix, 2))
            bound = math.sqrt(norm_squared(rows, cells))
            assert norm <= bound * (1 + 1e-12)
            assert bound <= (1.4 if mode == "area" else 1.15) * norm
            if mode == "linear" and count % cells == 0:
                assert norm_squared(rows, cells) == Fraction(count, cells)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_the_nearest_cell_is_counted_and_where_torch_may_round_its_neighbour(mode):
    for cells in SIZES:
        for count in SIZES:
            rows = interpolation_rows(mode, cells, count)
            matrix = torch_matrix(cells, count, {"mode": mode})
            assert bool((dense(rows, cells) >= matrix).all())
    assert norm_squared(interpolation_rows(mode, 8, 16), 8) == 2


@pytest.mark.parametrize("size", [(5, 9), (3, 3), (1, 7), (12, 10), (6, 4)])
@pytest.mark.parametrize("mode", MODES)
def test_the_node_bounds_every_norm_of_the_whole_map(mode, size):
    height, width = 6, 5
    module = Resize(size=size, **MODES[mode][1])
    node = trace(module, (2, height, width)).nodes[-1]
    assert (node.kind, node.shape) == ("scale", (2, *size))
    units = torch.eye(height * width, dtype=torch.float64).reshape(1, -1, height, width)
    matrix = module(units)[0].flatten(1).T
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert norm <= node.factor_upper * (1 + 1e-12)
    assert node.factor_upper <= 1.3 * norm
    largest = float(matrix.abs().sum(1).max())
    assert largest <= node.entry_factor_upper * (1 + 1e-12)
    assert node.entry_factor_upper == pytest.approx(largest)


@pytest.mark.parametrize(
    "settings",
    [
        {"scale_factor": 2.2, "mode": "bilinear"},
        {"scale_factor": (0.7, 1.3), "mode": "bicubic"},
        {"scale_factor": 0.3, "mode": "bicubic", "antialias": True},
        {"scale_factor": 1.5, "mode": "bicubic", "recompute_scale_factor": True},
        {"scale_factor": 2, "mode": "bilinear", "align_corners": True},
    ],
)
def test_a_factor_places_the_cells_as_torch_does(settings):
    module = Resize(**settings)
    node = trace(module, (1, 7, 9)).nodes[-1]
    units = torch.eye(63, dtype=torch.float64).reshape(1, 63, 7, 9)
    matrix = module(units)[0].flatten(1).T
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert norm <= node.factor_upper * (1 + 1e-12) <= 1.5 * norm
    assert node.entry_factor_upper == pytest.approx(float(matrix.abs().sum(1).max()), rel=1e-6)


@pytest.mark.parametrize("mode", ["cubic", "cubic filtered"])
def test_no_searched_map_exceeds_the_norms(mode):
    """Of tokens across the channels too."""

    class Net(nn.Module):
        def forward(self, x):
            x = functional.normalize(x, dim=1, eps=1.0)
            return functional.interpolate(x, size=(9, 4), **MODES[mode][1])

    before, node = trace(Net(), (3, 5, 6)).nodes[1:]
    assert node.token_axis == before.token_axis == -3
    unit = Values([Norms.of_whole(1)])
    bound = RULES["scale"].move(Place(node, [before], None), Moves(unit, unit, unit.norms))
    for measure, part in (
        (lambda y: y.flatten().norm(), "whole"),
        (lambda y: y.norm(dim=1).max(), "token"),
        (lambda y: y.abs().max(), "entry"),
    ):
        x = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(0)).double()
        for _ in range(20):
            x = (x / measure(x)).detach().requires_grad_()
            grown = measure(functional.interpolate(x, size=(9, 4), **MODES[mode][1]))
            (gradient,) = torch.autograd.grad(grown, x)
            assert grown.detach() <= float(getattr(bound, part)) * (1 + 1e-12)
            x = x.detach() + gradient
        assert grown.detach() > 0.5


def test_every_spelling_of_the_resize_has_the_same_rule():
    class Positional(nn.Module):
        def forward(self, x):
            return functional.interpolate(x, (8, 8), None, "bilinear", False)  # noqa: FBT003

    spellings = (
        Positional(),
        Resize(size=8, mode="bilinear", align_corners=False),
        nn.Sequential(nn.Upsample(size=8, mode="bilinear")),
        nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear")),
    )
    for module in spellings:
        assert trace(module, (1, 4, 4)).nodes[-1].factor_upper == 2.0


def test_filtering_with_aligned_corners_has_no_rule():
    settings = {"size": 8, "mode": "bilinear", "antialias": True, "align_corners": True}
    node = trace(Resize(**settings), (1, 4, 4)).unsupported
    assert node is not None
    assert "aligned corners" in node.reason
