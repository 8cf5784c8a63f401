"""Heads over features: their maps, their sizes, and what they refuse."""

import pytest
import torch
from torch.nn import functional

from dlgen_cli import architectures
from dlgen_cli.architectures.dense import sizes_of
from dlgen_cli.errors import TensorError, UsageError


def filled(network):
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    return network


def test_a_linear_head_is_the_affine_map():
    head = filled(architectures.build("linear", inputs=5, num_classes=3))
    x = torch.randn(7, 5)
    tensors = head.state_dict()
    assert set(tensors) == {"layers.0.weight", "layers.0.bias"}
    torch.testing.assert_close(head(x), functional.linear(x, *tensors.values()))


def test_hidden_layers_stand_behind_normalized_parts():
    settings = {"num_classes": 3, "width": 4, "depth": 2, "normalization": "rows"}
    head = filled(architectures.build("dense", inputs=5, parts=[2, 3], **settings))
    x = torch.randn(7, 5) * 10
    parts = [functional.normalize(one) * one.shape[1] ** 0.5 for one in x.split([2, 3], dim=1)]
    w1, b1, w2, b2 = head.state_dict().values()
    hidden = torch.relu(functional.linear(torch.cat(parts, 1), w1, b1))
    torch.testing.assert_close(head(x), functional.linear(hidden, w2, b2))


def test_no_random_number_is_drawn_and_all_parameters_are_zero():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    head = architectures.build("dense", inputs=5, num_classes=3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not any(parameter.any() for parameter in head.parameters())


def test_sizes_are_read_off_a_state_dict():
    tensors = architectures.build("dense", inputs=5, num_classes=3, width=4, depth=3).state_dict()
    assert sizes_of(tensors, hidden=True) == {"inputs": 5, "width": 4, "depth": 3}
    assert sizes_of({}, hidden=True) == {}


@pytest.mark.parametrize(
    "given", [{"inputs": 0}, {"parts": [2, 2]}, {"depth": 101}, {"normalization": "columns"}]
)
def test_arguments_out_of_range_are_refused(given):
    with pytest.raises(UsageError):
        architectures.build("dense", **{"inputs": 5, "num_classes": 3} | given)


def test_rows_of_another_size_are_refused():
    head = architectures.build("linear", inputs=5, num_classes=3)
    for rows in (torch.zeros(2, 4), torch.zeros(2, 1, 5)):
        with pytest.raises(TensorError, match="rows of 5 features"):
            head(rows)
