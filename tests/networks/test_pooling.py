"""Roots are rounded upward; norms of pooling maps, against their matrices."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.networks.tracer import trace


@given(st.fractions(min_value=0, max_value=10**12))
def test_a_root_is_the_next_float_from_above(square):
    root = root_upper(square)
    assert Fraction(root) ** 2 >= square
    assert root == 0 or Fraction(math.nextafter(root, 0)) ** 2 < square or root**2 == square


@pytest.mark.parametrize(
    "module",
    [
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, stride=2, padding=1),
        nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        nn.AvgPool2d(2, stride=3, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.AdaptiveAvgPool2d(1),
    ],
    ids=str,
)
def test_the_norm_of_an_average_is_enclosed_closely(module):
    size = (5, 7)
    units = torch.eye(35, dtype=torch.float64).reshape(35, 1, *size)
    exact = float(torch.linalg.matrix_norm(module(units).flatten(1), 2))
    network = trace(nn.Sequential(nn.Conv2d(1, 1, 1), module).eval(), (1, *size))
    found = network.nodes[-1].factor_upper
    assert exact * (1 - 1e-12) <= found <= exact * (1 + 1e-4)


@pytest.mark.parametrize(
    ("module", "copies"),
    [
        (nn.MaxPool2d(2), 1),
        (nn.MaxPool2d(3, stride=2), 4),
        (nn.MaxPool2d(3, stride=1, padding=1), 9),
        (nn.MaxPool2d(2, stride=1, dilation=2), 4),
        (nn.AdaptiveMaxPool2d((2, 3)), 4),
    ],
    ids=str,
)
def test_a_maximum_copies_a_cell_into_as_many_windows_as_hold_it(module, copies):
    network = trace(nn.Sequential(nn.Conv2d(1, 1, 1), module).eval(), (1, 5, 7))
    assert network.nodes[-1].factor_upper == math.sqrt(copies)
