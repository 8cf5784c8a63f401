"""The risk of a Gaussian over the weights of the logits, against draws of whole weights."""

import pytest
import torch
from torch import nn

from dlgen_cli.datasets import Split
from dlgen_cli.networks.logit_layers import adds_logits
from dlgen_cli.predictors import Draws, Factor, GaussianWeights, gibbs_errors, head_risks


class Heads(nn.Module):
    """Two maps to the logits; how they are put together is given."""

    def __init__(self, join):
        super().__init__()
        self.body, self.left, self.right = nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(8, 5)
        self.join = join

    def forward(self, x):
        x = x.flatten(1)
        return self.join(self.left(self.body(x).relu()), self.right(x))


HEADS = ["left.weight", "left.bias", "right.weight", "right.bias"]


def network(tools, join):
    return tools.folded(tools.fill(Heads(join)), (2, 2, 2))


def gaussian(folded, names=HEADS):
    source = torch.Generator().manual_seed(5)
    deviations = dict.fromkeys(folded.parameters, 0.0)
    for name in names:
        deviations[name] = 0.3
    if "left.weight" in names:
        lower = 0.2 * torch.randn(6, 6, generator=source).tril(-1) + 0.5 * torch.eye(6)
        deviations["left.weight"] = Factor(lower)
    if "right.weight" in names:
        deviations["right.weight"] = 0.1 + 0.3 * torch.rand(5, 8, generator=source)
    return GaussianWeights(deviations=deviations)


@pytest.mark.parametrize("join", [torch.add, lambda left, right: (left + right)[:, :4]])
def test_the_risk_is_that_of_draws_from_above(tools, join):
    folded = network(tools, join)
    images, labels = tools.sample(40, (2, 2, 2), 4)
    one = gaussian(folded)
    found = head_risks(folded, [one, one], Split(images=images, labels=labels))
    draws = Draws(count=20_000, seed=1)
    counted = gibbs_errors(folded, [one], Split(images=images, labels=labels), draws)
    assert found.risks_upper[0] == found.risks_upper[1]
    assert found.risks_upper[0] == pytest.approx(counted.errors[0] / 20_000, abs=0.015)
    assert list(found.mean_errors) == [counted.mean_errors[0]] * 2


@pytest.mark.parametrize(
    "join",
    [
        lambda left, right: (left + right).relu(),
        lambda left, right: left + 2 * right,
        lambda left, right: left + left + right,
    ],
)
def test_other_ends_of_a_network_need_draws(tools, join):
    folded = network(tools, join)
    split = Split(images=torch.rand(3, 2, 2, 2), labels=torch.tensor([0, 1, 2]))
    assert head_risks(folded, [gaussian(folded)], split) is None


def test_signs_and_layers_that_move_before_the_logits_need_draws(tools):
    split = Split(images=torch.rand(3, 2, 2, 2), labels=torch.tensor([0, 1, 2]))
    apart = network(tools, torch.sub)
    assert head_risks(apart, [gaussian(apart)], split) is None
    plain = network(tools, torch.add)
    assert adds_logits(plain.network, HEADS)
    assert not adds_logits(plain.network, ["body.weight", *HEADS])
    assert not adds_logits(plain.network, HEADS[:2])  # the other map would be added unseen
    assert not adds_logits(plain.network, [])
