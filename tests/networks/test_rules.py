"""Each rule against the function itself: slopes, ranges, norms of poolings."""

import pytest
import torch
from nodes import Apply
from torch import nn
from torch.nn import functional

from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.propagation import propagate_all
from dlgen_cli.networks.tracer import trace

IDENTITIES = {
    "flatten": lambda x: torch.flatten(x, 1),
    "module": nn.Flatten(),
    "view": lambda x: x.view(1, -1),
    "reshape": lambda x: x.reshape(x.size(0), x.shape[1] * 4, -1),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "contiguous": lambda x: x.contiguous(),
    "identity": nn.Identity(),
    "dropout": nn.Dropout(0.5),
    "functional dropout": lambda x: functional.dropout(x, 0.5, training=False),
    "slice": lambda x: x[:, 1:, ..., None, ::2],
    "zeros around": lambda x: functional.pad(x, (1, 2, 0, 1)),
    "cut off": lambda x: functional.pad(x, (-1, 0)),
    "zero module": nn.ZeroPad2d(1),
    "minus": lambda x: -x,
    "mirrored": lambda x: torch.fliplr(torch.flipud(x)),
    "quarter turn": lambda x: torch.rot90(x, 1, (2, 3)),
    "ravel": lambda x: torch.ravel(x)[None],
    "half": lambda x: torch.hsplit(x, 2)[1],
    "shuffle": nn.ChannelShuffle(2),
    "unshuffle": nn.PixelUnshuffle(2),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_moves_entries_keeps_the_norm(name):
    network = trace(Apply(IDENTITIES[name]), (4, 4, 4))
    assert {node.kind for node in network.nodes[1:]} == {"identity"}
    assert network.output_shape == IDENTITIES[name](torch.zeros(1, 4, 4, 4)).shape[1:]


class WithParameter(nn.Module):
    def __init__(self, combine):
        super().__init__()
        self.combine = combine
        self.token = nn.Parameter(torch.ones(1, 4, 4, 4))

    def forward(self, x):
        return self.combine(x, self.token.expand(1, -1, -1, -1))


class PaddedAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        return self.attention(x, x, x, key_padding_mask=x[..., 0])[0]


class TwoInputs(nn.Module):
    def forward(self, one, two):
        return one.size(1) * two.size(1)


def branch_on_value(x):
    return x if x.sum() > 0 else -x


def stale_view(x):
    flat = x.flatten(1)
    (2 * x).relu_()
    x.mul_(2)
    return flat + 1


SUMS = {
    "plus": (lambda x, y: x + y, (1.0, 1.0)),
    "minus": (lambda x, y: torch.sub(x, y, alpha=3), (1.0, 3.0)),
    "method": (lambda x, y: x.add(y, alpha=-0.5), (1.0, 0.5)),
    "columns": (lambda x, y: x + y.mean((2, 3), keepdim=True), (1.0, 4.0)),
    "one entry": (lambda x, y: y.sum() - x, (8.0, 1.0)),
    "twice": (lambda x, y: x + x + 0 * y, (1.0, 1.0)),
}


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_counts_how_often_broadcasting_copies_a_branch(name):
    combine, expected = SUMS[name]
    network = trace(Apply(lambda x: combine(x.relu(), x.tanh())), (4, 4, 4))
    found = [node.coefficients_upper for node in network.nodes if node.kind == "sum"]
    assert expected in found


UNSUPPORTED = {
    "quotient": (lambda x: x / x.sum(), "divides by an activation"),
    "batch statistics": (nn.BatchNorm2d(4, track_running_stats=False), "statistics of its batch"),
    "active dropout": (functional.dropout, "dropout is active"),
    "spectral norm": (nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)), "_SpectralNorm"),
    "exponential": (torch.exp, "exp of an activation"),
    "cube": (lambda x: x**3, "the power 3 has no rule"),
    "no epsilon": (nn.LayerNorm(4, eps=0.0), "without an epsilon"),
    "stored statistics": (nn.InstanceNorm2d(4, track_running_stats=True), "stored statistics"),
    "other norm": (lambda x: functional.normalize(x, p=1), "another norm than the 2-norm"),
    "softmax over the batch": (lambda x: x.softmax(0), "over the batch"),
    "mask of activations": (lambda x: x.masked_fill(x > 0, 0.0), "depends on activations|gt has"),
    "choice": (lambda x: torch.where(x > 0, x, -x), "depends on activations|gt has"),
    "computed weight": (WithParameter(lambda x, t: functional.conv1d(x[0], t[0] ** 2)), "computed"),
    "padded attention": (PaddedAttention(), "mask of padding"),
    "repeated letter": (lambda x: torch.einsum("bcii,bcij->bcj", x, x), "occurs twice"),
    "uneven padding": (nn.Conv2d(4, 4, 2, padding="same"), "'same' with an even kernel"),
    "other bits": (lambda x: x.view(torch.int32), "another type"),
    "hardshrink": (nn.Hardshrink(), "hardshrink has no rule"),
    "jumping softplus": (nn.Softplus(threshold=2), "jumps"),
    "places": (nn.MaxPool2d(2, return_indices=True), "places of the maxima"),
    "two results": (lambda x: (x, x.relu()), "does not return one tensor"),
    "no input": (lambda x: torch.ones(x.shape), "does not return one tensor"),
    "branch": (branch_on_value, "cannot be traced"),
    "value": (lambda x: x * float(x.sum().item()), "cannot be traced|values of activations"),
    "stale view": (stale_view, "changed in place"),
}


def test_a_network_of_two_inputs_says_what_to_do():
    network = trace(TwoInputs(), (4, 4))
    assert network.unsupported is not None
    assert "takes 2 inputs (one, two)" in network.unsupported.reason
    assert "wrap it in a module that takes one tensor" in network.unsupported.reason


class Masked(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, x):
        return x.masked_fill(self.mask[:3, :3] == 0, float("-inf")).softmax(-1)


def test_a_stored_triangle_of_ones_is_a_mask_and_no_value_that_could_move():
    network = trace(Masked(torch.ones(4, 4).tril()), (3, 3))
    assert network.unsupported is None
    assert not network.layers
    other = trace(Masked(torch.randn(4, 4)), (3, 3)).unsupported
    assert other is not None
    assert other.operation == "eq"


def test_a_matrix_that_is_applied_to_several_sizes_is_one_layer():
    """With the bias of the larger one, whose norm is that of more copies."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.conv = nn.Conv1d(4, 4, 1)

        def forward(self, x):
            y = self.layer(x[:, :1]) + self.layer(x).sum(1, keepdim=True)
            return self.conv(x) + self.conv(y.transpose(1, 2))

    network = trace(Shared(), (4, 4))
    assert list(network.layers) == ["layer.weight", "conv.weight", "conv.weight@4x1"]
    assert network.layers["layer.weight"].positions == 4


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_has_no_rule_is_named(name):
    function, reason = UNSUPPORTED[name]
    module = nn.Sequential(function) if isinstance(function, nn.Module) else Apply(function)
    network = trace(module, (4, 4, 4))
    found = network.unsupported
    assert found is not None
    assert any(part in found.reason for part in reason.split("|")), found.reason
    assert network.nodes[0].kind == "input"


def test_what_the_output_does_not_need_is_left_out():
    def forward(x):
        torch.exp(x)
        return x.relu()

    assert [node.kind for node in trace(Apply(forward), (3,)).nodes] == ["input", "lipschitz"]


def test_a_stored_number_counts_at_each_entry_that_it_multiplies():
    """Its node has no axes; its product with a larger value is as large as that times it."""

    class Slope(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Parameter(torch.tensor([0.5]))
            self.register_buffer("table", torch.ones(4, 4), persistent=False)

        def forward(self, x):
            return x + self.slope * self.table

    network = trace(Slope(), (4, 4))
    norms = LayerNorms(norm_upper=0.5, moved_norm_upper=0.5, error_upper=0.25)
    bounds = propagate_all(network.nodes, {"slope": norms}, 1.0)
    product = next(node.name for node in network.nodes if node.kind == "product")
    assert bounds[product].radius >= 2  # 16 entries of 1/2
    assert bounds[product].deviation >= 1
