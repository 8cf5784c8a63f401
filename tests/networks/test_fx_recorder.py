"""The recorded calls are the module's, changes in place among them."""

import operator

import pytest
import torch
from torch import fx, nn

from dlgen_cli.architectures.fixed_normalization import FixedNormalization
from dlgen_cli.networks.fx_recorder import record

IN_PLACE = {
    "iadd": operator.iadd,
    "isub": operator.isub,
    "imul": operator.imul,
    "itruediv": operator.itruediv,
}


class Changes(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(3, 3), function

    def forward(self, x):
        y = self.layer(x)
        kept = y
        y = self.function(y, 2.0)
        return y + kept  # kept is the same tensor


@pytest.mark.parametrize("name", IN_PLACE)
@torch.no_grad()
def test_a_change_in_place_is_recorded_as_one(name):
    module = Changes(IN_PLACE[name]).eval()
    graph = record(module, (3,))
    calls = [node.target for node in graph.nodes if node.op == "call_function"]
    assert calls == [IN_PLACE[name], operator.add]
    x = torch.randn(2, 3)
    assert torch.equal(fx.GraphModule(module, graph)(x), module(x))


def test_modules_of_torch_and_the_fixed_normalization_are_one_call_each():
    fixed = FixedNormalization((0.5,), (0.25,))
    graph = record(
        nn.Sequential(fixed, nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())).eval(), (1, 2, 2)
    )
    assert [node.target for node in graph.nodes if node.op == "call_module"] == ["0", "1.0", "1.1"]
