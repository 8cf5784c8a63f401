"""A layer's names and counts, against the module that it stands for."""

import torch
from torch import nn

from dlgen_cli.networks.tracer import trace


class Calls(nn.Module):
    """A convolution with a normalization folded in, one that stands alone, a shared matrix."""

    def __init__(self):
        super().__init__()
        self.conv, self.folded = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.alone, self.head = nn.BatchNorm2d(4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.folded(self.conv(x)).relu()
        x = self.alone(x).mean((2, 3))
        return self.head(self.head(x))


def test_layers_are_counted_and_named():
    module = Calls().eval()
    network = trace(module, (2, 6, 6))
    conv, alone, head = network.layers.values()
    assert (conv.is_folded, conv.is_batch_norm) == (True, False)
    assert (alone.is_folded, alone.is_batch_norm) == (False, True)
    assert conv.bias_name == "conv.bias"  # the normalization's shift
    assert conv.unfolded.bias_name is None
    assert conv.batch_norm.tensor_names == tuple(
        f"folded.{name}" for name in ("running_mean", "running_var", "weight", "bias")
    )
    assert (conv.channels, conv.positions) == (4, 16)
    assert (conv.input_size, conv.output_size) == ((6, 6), (4, 4))
    assert (head.input_size, head.output_size) == ((), ())
    assert conv.parameters == 4 * 2 * 9 + 4
    # what is called twice counts once
    assert network.parameters == conv.parameters + (4 + 4) + (16 + 4)
    assert network.output_shape[-1] == 4
    assert network.unsupported is None


def test_the_first_node_without_a_rule_is_found():
    module = nn.Sequential(nn.Linear(3, 3), nn.Hardshrink(), nn.LayerNorm(3)).eval()
    network = trace(module, (3,))
    assert network.unsupported is not None
    assert network.unsupported.operation == "hardshrink"
    assert torch.is_tensor(module(torch.zeros(1, 3)))
