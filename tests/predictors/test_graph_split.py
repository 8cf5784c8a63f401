"""A graph in two parts is the whole graph."""

import torch
from torch import fx, nn

from dlgen_cli.predictors.graph_split import split


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, x):
        kept = self.first(x).relu()
        return self.last(self.second(kept) + kept)


def traced():
    torch.manual_seed(0)
    return fx.symbolic_trace(Residual().eval())


@torch.no_grad()
def test_both_parts_together_are_the_whole():
    module, x = traced(), torch.randn(4, 3)
    for moving in ({"second"}, {"last"}, {"last", "second"}, set()):
        parts = split(module, moving)
        assert parts is not None
        backbone, head = parts
        assert torch.equal(head(*backbone(x)), module(x))
        assert not {node.target for node in backbone.graph.nodes} & moving


def test_what_is_read_later_is_handed_on_once():
    backbone, head = split(traced(), {"last"})
    assert len(backbone(torch.zeros(1, 3))) == 1  # the sum alone
    assert sum(node.op == "placeholder" for node in head.graph.nodes) == 1
    backbone, head = split(traced(), {"second"})
    assert [str(node.target) for node in head.graph.nodes if node.op == "call_module"] == [
        "second", "last"
    ]  # fmt: skip


def test_nothing_is_cut_before_the_first_layer():
    assert split(traced(), {"first", "last"}) is None
