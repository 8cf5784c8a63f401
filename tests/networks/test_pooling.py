"""Norms of pooling and copying, against the function itself and its matrix."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nodes import node_of
from torch import nn
from torch.nn import functional

from dlgen_cli.networks.pooling import root_upper

POOLS = {
    "max": (nn.MaxPool2d(2), 1),
    "max, overlap": (nn.MaxPool2d(3, 2, 1), 4),
    "max, functional": (lambda x: functional.max_pool2d(x, 3, 1), 9),
    "max, dilation": (nn.MaxPool2d(2, 2, dilation=2), 4),
    "max, coprime": (lambda x: functional.max_pool2d(x, 2, 2, dilation=3), 1),
    "max, method of size": (nn.MaxPool2d((3, 1), (1, 2)), 3),
    "adaptive max": (nn.AdaptiveMaxPool2d((3, 2)), None),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("size", [(7, 8), (6, 6)])
def test_max_pool_counts_the_windows_of_a_cell(name, size):
    function, expected = POOLS[name]
    node = node_of(function, (1, *size))
    assert node.kind == "max_pool"
    # How many outputs can one large cell reach?
    units = 1e6 * torch.eye(size[0] * size[1]).reshape(-1, 1, *size)
    reached = int((function(units) > 0).flatten(1).sum(1).max())
    assert node.factor_upper**2 == pytest.approx(reached, rel=1e-15)
    assert expected is None or reached == expected


MEANS = {
    "plain": (nn.AvgPool2d(2), Fraction(1, 4)),
    "functional": (lambda x: functional.avg_pool2d(x, (2, 3)), Fraction(1, 6)),
    "overlap": (nn.AvgPool2d(3, 1), None),
    "padding": (nn.AvgPool2d(3, 2, 1), None),
    "padding not counted": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), None),
    "ceiling": (nn.AvgPool2d(2, ceil_mode=True), None),
    "ceiling, padding": (lambda x: functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True), None),
    "ceiling, not counted": (
        lambda x: functional.avg_pool2d(x, 3, 3, 1, ceil_mode=True, count_include_pad=False),
        None,
    ),
    "divisor": (nn.AvgPool2d(2, 1, divisor_override=3), None),
    "adaptive": (nn.AdaptiveAvgPool2d((3, 2)), None),
    "adaptive, larger": (nn.AdaptiveAvgPool2d((9, 11)), None),
    "adaptive, one": (lambda x: functional.adaptive_avg_pool2d(x, 1), "all"),
    "mean": (lambda x: x.mean([2, 3]), "all"),
    "mean, torch": (lambda x: torch.mean(x, dim=(-2, -1), keepdim=True), "all"),
    "mean of everything": (torch.mean, "all"),
    "sum": (lambda x: x.sum(dim=-1), None),
    "expand": (lambda x: x.expand(3, -1, -1, -1), Fraction(3)),
    "repeat": (lambda x: x.repeat(1, 1, 2, 2), Fraction(4)),
    "times": (lambda x: -0.3 * x, Fraction(-0.3) ** 2),
    "divided": (lambda x: x / 3, Fraction(1, 9)),
}


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("size", [(7, 8), (6, 6)])
def test_linear_pools_have_the_norm_of_their_matrix(name, size):
    function, expected = MEANS[name]
    node = node_of(function, (1, *size))
    assert node.kind == "scale"
    cells = size[0] * size[1]
    units = torch.eye(cells, dtype=torch.float64).reshape(cells, 1, 1, *size)
    matrix = torch.stack([function(unit).flatten() for unit in units])
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert norm <= node.factor_upper * (1 + 1e-12)
    assert node.factor_upper <= 1.03 * norm
    if expected is not None:
        square = Fraction(1, cells) if expected == "all" else expected
        assert Fraction(node.factor_upper) ** 2 >= square
        assert node.factor_upper**2 == pytest.approx(float(square), rel=1e-14)


@given(st.fractions(min_value=0, max_value=10**12))
def test_a_root_is_the_next_float_from_above(square):
    root = root_upper(square)
    assert Fraction(root) ** 2 >= square
    assert root == 0 or Fraction(math.nextafter(root, 0)) ** 2 < square or root**2 == square


def test_a_cumulative_sum_is_a_triangle_of_ones():
    node = node_of(lambda x: torch.cumsum(x, dim=2), (2, 7))
    norm = float(torch.linalg.matrix_norm(torch.ones(7, 7).tril().double(), 2))
    assert norm <= node.factor_upper <= 1.2 * norm
    assert node.entry_factor_upper == 7
