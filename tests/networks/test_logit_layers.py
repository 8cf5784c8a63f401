"""The layers that give the logits, and whether their sum is all that gives them."""

import pytest
import torch
from torch import nn

from dlgen_cli.networks.logit_layers import adds_logits, logit_layers, logit_sum
from dlgen_cli.networks.tracer import trace

HEADS = ["left.weight", "left.bias", "right.weight", "right.bias"]


class TwoHeads(nn.Module):
    def __init__(self, join=torch.add):
        super().__init__()
        self.body, self.left, self.right = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(5, 3)
        self.join = join

    def forward(self, x):
        x = self.body(x).relu()
        return self.join(self.left(x), self.right(x))


def traced(module):
    return trace(module.eval().requires_grad_(requires_grad=False), (4,))


def test_layers_that_add_up_to_the_logits_are_found():
    network = traced(TwoHeads())
    assert {one.module for one in logit_layers(network)} == {"left", "right"}
    assert adds_logits(network, HEADS)
    assert adds_logits(network, HEADS[::2])  # biases may stay
    assert logit_sum(network, ["body.weight", *HEADS]) == {"left.weight", "right.weight"}


@pytest.mark.parametrize("moving", [[], HEADS[:2], ["body.weight"], ["body.weight", *HEADS]])
def test_each_layer_of_the_sum_must_move_and_nothing_before_it(moving):
    assert not adds_logits(traced(TwoHeads()), moving)


@pytest.mark.parametrize(
    "join",
    [
        lambda left, right: (left + right).relu(),
        lambda left, right: left + 0.5 * right,
        lambda left, right: left - right.relu(),
        lambda left, right: left - right,
        lambda left, right: left + right + 1,
    ],
)
def test_other_ways_to_join_them_are_no_plain_sum(join):
    assert not adds_logits(traced(TwoHeads(join)), HEADS)


def test_a_map_of_a_map_is_none():
    module = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 3, bias=False))
    names = ["0.weight", "1.weight"]
    assert not adds_logits(traced(module), names)
    assert adds_logits(traced(module), names[1:])
