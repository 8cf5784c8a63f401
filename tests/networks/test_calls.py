"""One name for every spelling of an operation, and no name of torch's for what is not torch's."""

import operator

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import stochastic_depth

from dlgen_cli.networks.calls import Activation, canonical_name, function_name


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (nn.LeakyReLU.__name__, "leaky_relu_"),
        (nn.AdaptiveAvgPool2d.__name__, "adaptive_avg_pool2d"),
        (nn.Hardtanh.__name__, "hardtanh"),
    ],
)
def test_spellings_meet(left, right):
    assert canonical_name(left) == canonical_name(right)


@pytest.mark.parametrize(
    ("function", "name", "in_place"),
    [
        (functional.leaky_relu_, "leakyrelu", True),
        (functional.leaky_relu, "leakyrelu", False),
        (operator.iadd, "add", True),
        (operator.add, "add", False),
        (torch.relu_, "relu", True),
        (stochastic_depth, "stochasticdepth", False),
    ],
)
def test_functions_are_called_by_their_operation(function, name, in_place):
    assert function_name(function) == (name, in_place)


def test_a_function_of_someone_else_is_not_taken_for_torch_s():
    def relu(x):
        return 1000 * x

    name, in_place = function_name(relu)
    assert name.endswith(".relu")
    assert name != canonical_name("relu")
    assert not in_place


def test_entries_are_counted_and_a_tuple_has_none():
    assert Activation("x", (1, 3, 4)).entries == 12
    assert Activation("x", ()).entries == 1
    assert Activation("x", None).entries == 0
