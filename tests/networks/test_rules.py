"""Each rule against the function itself: slopes, ranges, norms of poolings."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlgen_cli.networks.tracer import trace


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def node_of(function, shape):
    """The single node that a function gives."""
    network = trace(Apply(function), shape)
    assert len(network.nodes) == 2, network.nodes
    return network.nodes[1]


POINTWISE = {
    "relu": functional.relu,
    "relu6": nn.ReLU6(),
    "leaky": lambda x: functional.leaky_relu(x, 0.3),
    "leaky, steep": nn.LeakyReLU(-1.7),
    "elu": nn.ELU(0.4),
    "elu, steep": lambda x: functional.elu(x, 2.5),
    "celu": nn.CELU(0.7),
    "selu": torch.selu,
    "gelu": nn.GELU(),
    "gelu, tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "hardsigmoid": nn.Hardsigmoid(),
    "hardtanh": nn.Hardtanh(-0.3, 2.0),
    "hardtanh, off zero": lambda x: functional.hardtanh(x, 0.5, 2.0),
    "clamp": lambda x: torch.clamp(x, -1, 4),
    "clamp, one side": lambda x: x.clamp(min=0.5),
    "clip": lambda x: torch.clip(x, max=-0.5),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "softplus, beta": nn.Softplus(beta=2.0, threshold=30),
    "softsign": functional.softsign,
    "tanhshrink": functional.tanhshrink,
    "softshrink": nn.Softshrink(0.2),
    "logsigmoid": functional.logsigmoid,
    "abs": abs,
    "add a number": lambda x: x + 3,
    "take from a number": lambda x: 1.5 - x,
}


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_constants_are_upper_bounds_and_tight(name):
    function = POINTWISE[name]
    node = node_of(function, (3, 2))
    assert node.kind == "lipschitz"
    x = torch.linspace(-12, 12, 2_400_001, dtype=torch.float64)
    y = function(x.clone())
    slopes = (y.diff() / x.diff()).abs()
    assert float(slopes.max()) <= node.factor_upper * (1 + 1e-7)
    assert float(slopes.max()) >= node.factor_upper * (1 - 1e-5)
    root = math.sqrt(6)
    at_zero = abs(float(function(torch.zeros(1, dtype=torch.float64))))
    assert root * at_zero <= node.offset_upper * (1 + 1e-15)
    assert node.offset_upper <= root * at_zero * (1 + 1e-7)
    if node.cap_upper is not None:
        assert root * float(y.abs().max()) <= node.cap_upper * (1 + 1e-15)
        assert root * float(y.max() - y.min()) <= node.spread_upper * (1 + 1e-15)


def test_the_slopes_of_gates_are_the_maxima_of_their_derivatives():
    mpmath = pytest.importorskip("mpmath")
    gates = {
        functional.silu: (lambda x: x / (1 + mpmath.exp(-x)), 2.4),
        functional.gelu: (lambda x: x * mpmath.ncdf(x), 1.4),
        functional.mish: (lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), 1.5),
        nn.GELU(approximate="tanh"): (
            lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + 0.044715 * x**3))),
            1.4,
        ),
    }
    for function, (formula, start) in gates.items():
        top = mpmath.findroot(lambda x, f=formula: mpmath.diff(f, x, 2), start)
        slope = float(mpmath.diff(formula, top))
        assert slope < node_of(function, (4,)).factor_upper < slope * (1 + 1e-6)


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


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        return self.attention(x, x, x)[0]


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
    "product": (lambda x: x * x.mean((2, 3), keepdim=True), "multiplies two activations"),
    "gate": (lambda x: x.mul(torch.sigmoid(x)), "multiplies two activations"),
    "quotient": (lambda x: x / x.sum(), "divides by an activation"),
    "matmul": (lambda x: x @ x, "attention"),
    "attention": (Attention(), "attention"),
    "scaled": (lambda x: functional.scaled_dot_product_attention(x, x, x), "attention"),
    "softmax": (nn.Softmax(dim=1), "softmax"),
    "layer norm": (nn.LayerNorm(4), "statistic of its own input"),
    "group norm": (nn.GroupNorm(2, 4), "statistic of its own input"),
    "instance norm": (nn.InstanceNorm2d(4), "statistic of its own input"),
    "batch statistics": (nn.BatchNorm2d(4, track_running_stats=False), "statistics of its batch"),
    "prelu": (nn.PReLU(), "trained parameter"),
    "active dropout": (functional.dropout, "dropout is active"),
    "spectral norm": (nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)), "_SpectralNorm"),
    "exponential": (torch.exp, "exp has no rule"),
    "square": (lambda x: x**2, "pow has no rule"),
    "list of indices": (lambda x: x[:, [0, 0, 1]], "by a list or a tensor"),
    "padding with ones": (
        lambda x: functional.pad(x, (1, 1), value=1.0),
        "something else than zeros",
    ),
    "reflection": (nn.ReflectionPad2d(1), "no rule"),
    "uneven padding": (nn.Conv2d(4, 4, 2, padding="same"), "'same' with an even kernel"),
    "other bits": (lambda x: x.view(torch.int32), "another type"),
    "hardshrink": (nn.Hardshrink(), "hardshrink has no rule"),
    "jumping softplus": (nn.Softplus(threshold=2), "jumps"),
    "places": (nn.MaxPool2d(2, return_indices=True), "places of the maxima"),
    "token": (WithParameter(torch.add), "token directly"),
    "joined token": (WithParameter(lambda x, t: torch.cat([x, t])), "token directly"),
    "scaled by token": (WithParameter(torch.mul), "token directly"),
    "constant": (lambda x: x + torch.ones(4), "_tensor_constant0 directly"),
    "two results": (lambda x: (x, x.relu()), "does not return one tensor"),
    "no input": (lambda x: torch.ones(x.shape), "does not return one tensor"),
    "branch": (branch_on_value, "cannot be traced"),
    "value": (lambda x: x * float(x.sum().item()), "cannot be traced|values of activations"),
    "stale view": (stale_view, "changed in place"),
    "sine": (lambda x: torch.sin(x).relu(), "sin has no rule"),
}


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
