"""The propagated radius and deviation against networks that really run.

Random and adversarially searched inputs, random perturbations of the effective tensors, norms
of the dense operators: no activation leaves its radius, no deviation its bound.
"""

import math
import warnings

import pytest
import torch
from sequence_networks import SEQUENCE_NETWORKS
from token_networks import TOKEN_NETWORKS
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from dlgen_cli.bounds.propagation import propagate_all, sensitivities
from dlgen_cli.networks.folding import effective_tensors
from dlgen_cli.networks.tracer import trace

RANDOM_INPUTS = 640
SEARCHED_INPUTS = 64
STEPS = 5  # every step of the search gives inputs that are checked too
RADIUS = 2.5
SLACK = 1 + 1e-9


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.wide = nn.Conv2d(4, 6, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.narrow = nn.Conv2d(6, 4, 1)
        self.bn3 = nn.BatchNorm2d(4, affine=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = functional.relu6(self.bn(self.stem(x)))
        y = functional.relu6(self.bn1(self.wide(x)))
        y = functional.relu6(self.bn2(self.depthwise(y)), inplace=True)
        x = x + self.bn3(self.narrow(y))
        x = functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
        return self.head(functional.dropout(x, training=self.training))


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 4, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(2, 1), groups=2)
        self.b = nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.bn = nn.BatchNorm2d(4)
        self.c = nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular")
        self.d = nn.Conv2d(2, 2, 3, padding="same", padding_mode="reflect", bias=False)
        self.e = nn.Conv1d(2, 3, 3, stride=3)
        self.bn1 = nn.BatchNorm1d(3)

    def forward(self, x):
        x = torch.tanh(self.bn(self.b(self.a(x))))
        x = functional.leaky_relu(self.d(self.c(x)), 0.2)
        return self.bn1(self.e(torch.flatten(x, 2)))


class Volumes(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv3d(1, 2, 2, stride=(1, 2, 1), padding=(1, 0, 1))
        self.bn = nn.BatchNorm3d(2)
        self.b = nn.ConvTranspose3d(2, 1, 2, stride=2)
        self.pool = nn.MaxPool3d(2, stride=1)
        self.mean = nn.AvgPool3d((1, 2, 2))

    def forward(self, x):
        x = functional.elu(self.bn(self.a(x)), 1.5)
        return self.mean(self.pool(self.b(x)))


class Pools(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.max = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.average = nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.partial = nn.AvgPool2d(2, stride=1, padding=1, count_include_pad=False)
        self.odd = nn.AdaptiveAvgPool2d((3, 5))
        self.largest = nn.AdaptiveMaxPool2d(2)
        self.head = nn.Linear(15, 4)

    def forward(self, x):
        x = self.conv(x)
        a = self.max(x)
        b = self.average(x)
        c = self.partial(a - 2 * b)
        d = functional.avg_pool2d(c, 2, 1, divisor_override=3)
        e = functional.max_pool2d(d, 2, dilation=2, stride=1)
        f = torch.cat([self.odd(e).mean([2, 3]), self.largest(e).flatten(1)], dim=1)
        return self.head(f)


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(4, 4, 1)
        self.b = nn.Conv2d(4, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.gate = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)

    def forward(self, x):
        one, two = x.chunk(2, 1)
        x = torch.cat((two, one), 1)
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        y = torch.add(self.a(x), x, alpha=-0.5)
        y = functional.relu(
            self.norm(torch.cat([y, self.b(functional.pad(y, (1, 0)))[..., 1:]], 1))
        )
        g = torch.sigmoid(self.gate(y.mean((2, 3))))
        z = self.tied(functional.silu(self.tied(g + 0.25)))
        return (y + z[:, :, None, None]) / 3 - 1.0


class Activations(nn.Module):
    KINDS = (
        nn.ReLU,
        nn.ReLU6,
        nn.LeakyReLU,
        nn.ELU,
        nn.SELU,
        nn.CELU,
        nn.GELU,
        nn.SiLU,
        nn.Mish,
        nn.Hardswish,
        nn.Hardsigmoid,
        nn.Hardtanh,
        nn.Sigmoid,
        nn.Tanh,
        nn.Softplus,
        nn.Softsign,
        nn.Tanhshrink,
        nn.Softshrink,
        nn.LogSigmoid,
    )

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.parts = nn.ModuleList(kind() for kind in self.KINDS)
        self.tanh_gelu = nn.GELU(approximate="tanh")
        self.last = nn.Linear(6 * (len(self.KINDS) + 2), 3)

    def forward(self, x):
        x = 3 * self.first(x)
        values = [part(x) for part in self.parts]
        return self.last(torch.cat([*values, self.tanh_gelu(x), x.clamp(-0.5, 2)], 1))


class Normalized(nn.Module):
    """Weight normalization in both forms; a batch normalization that cannot be folded."""

    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old form is deprecated, but in use
            self.old = nn.utils.weight_norm(nn.Conv2d(2, 4, 3))
        self.new = parametrizations.weight_norm(nn.Linear(4, 4), dim=None)
        self.before = nn.BatchNorm2d(2)
        self.bn = nn.BatchNorm1d(4)

    def forward(self, x):
        x = self.old(functional.relu(self.before(x), inplace=True))
        return self.bn(self.new(x.mean(dim=(2, 3))))


class InPlace(nn.Module):
    """Every name of a tensor sees what is done to it in place."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.a(x)
        shortcut = x
        self.relu(x)
        y = self.b(x)
        before = y
        y += shortcut
        kept = y - 0.5 * before
        after = y
        y *= 0.5
        return kept + after + x.tanh_()


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(3))

    def forward(self, x):
        x = functional.pad(torch.flatten(x, 1), (0, 2))
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)[:, :5]


NETWORKS = {
    **TOKEN_NETWORKS,
    **SEQUENCE_NETWORKS,
    "residual": (Residual, (3, 6, 6)),
    "convolutions": (Convolutions, (2, 7, 6)),
    "volumes": (Volumes, (1, 3, 4, 3)),
    "pools": (Pools, (2, 9, 8)),
    "branches": (Branches, (4, 3, 4)),
    "activations": (Activations, (5,)),
    "normalized": (Normalized, (2, 5, 5)),
    "in place": (InPlace, (6,)),
    "perceptron": (Perceptron, (2, 3)),
}


def moved_tensors(tensors, size, seed):
    source = torch.Generator().manual_seed(seed)
    return {
        name: tensor
        + size
        * tensor.std(correction=0).clamp(min=0.1)
        * torch.randn(tensor.shape, generator=source, dtype=tensor.dtype)
        for name, tensor in tensors.items()
    }


def project(x):
    norms = x.flatten(1).norm(dim=1).clamp(min=1e-300)
    factor = (RADIUS / norms).clamp(max=1.0)
    return x * factor.reshape(-1, *[1] * (x.ndim - 1))


def searched(run, tensors, moved, x, output):
    """Inputs along a gradient ascent on the distance of the two outputs."""
    x, found = project(x), []
    for _ in range(STEPS):
        x = x.detach().requires_grad_()
        distance = (run(tensors, x)[output] - run(moved, x)[output]).flatten(1).norm(dim=1)
        (gradient,) = torch.autograd.grad(distance.sum(), x)
        norms = gradient.flatten(1).norm(dim=1).clamp(min=1e-300)
        step = gradient / norms.reshape(-1, *[1] * (x.ndim - 1))
        x = project(x.detach() + RADIUS * step)
        found.append(x)
    return torch.cat(found)


def inputs_of(shape, count, seed):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *shape, generator=source, dtype=torch.float64)
    norms = x.flatten(1).norm(dim=1).reshape(-1, *[1] * len(shape))
    lengths = torch.rand(count, generator=source, dtype=torch.float64).clamp(min=0.5)
    lengths[: count // 2] = 1
    return RADIUS * x / norms * lengths.reshape(norms.shape)


def check_values(nodes, bounds, values, moved_values):
    count = len(values[nodes[0].name])
    for node in nodes:
        one, two = values[node.name], moved_values[node.name]
        if isinstance(one, tuple):
            one, two = (
                torch.cat([t.flatten(1) for t in these if t.is_floating_point()], 1)
                for these in (one, two)
            )
        elif len(one) != count and one.numel() == math.prod(node.shape):
            one, two = one[None], two[None]  # no input changes it
        elif len(one) != count:
            continue  # its batch does not come first
        one, two = one.double(), two.double()  # of whole numbers too
        bound = bounds[node.name]
        norm = float(two.flatten(1).norm(dim=1).max())
        deviation = float((one - two).flatten(1).norm(dim=1).max())
        assert norm <= float(bound.radius) * SLACK, node
        assert deviation <= float(bound.deviation) * SLACK + 1e-13, node
        if not isinstance(values[node.name], tuple):
            check_parts(node, bound, one, two)


def check_parts(node, bound, one, two):
    """The norms of tokens and of entries, in both networks and of the difference."""
    axis = node.token_axis
    for norms, value in ((bound.unmoved, one), (bound.moved, two), (bound.moves, one - two)):
        if axis is not None:
            token = float(value.norm(dim=axis).max())
            assert token <= float(norms.token) * SLACK + 1e-13, (node, token, norms)
            if norms.row_sum is not None:
                row_sum = float(value.abs().sum(axis).max())
                assert row_sum <= float(norms.row_sum) * SLACK + 1e-13, node
        entry = float(value.abs().max())
        assert entry <= float(norms.entry) * SLACK + 1e-13, (node, entry, norms)


@pytest.mark.parametrize("size", [0.02, 0.5])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_input_exceeds_the_bounds(tools, name, size):
    constructor, shape = NETWORKS[name]
    module = tools.fill(constructor().double(), seed=3)
    network = trace(module, shape)
    assert network.unsupported is None
    tensors = effective_tensors(network, module.state_dict())
    moved = moved_tensors(tensors, size, seed=5)
    norms = tools.measured_norms(network, tensors, moved)
    bounds = propagate_all(network.nodes, norms, RADIUS)
    run = tools.Execution(module, network)
    output = network.nodes[-1].name

    x = inputs_of(shape, RANDOM_INPUTS, seed=7)
    worst = searched(run, tensors, moved, x[:SEARCHED_INPUTS], output)
    x = torch.cat([x, worst])
    assert len(x) * len(NETWORKS) * 2 >= 10_000
    values = run(tensors, x)
    torch.testing.assert_close(values[output], module(x.clone()), rtol=1e-12, atol=1e-12)
    check_values(network.nodes, bounds, values, run(moved, x))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_linear_form_is_an_upper_bound(tools, name):
    constructor, shape = NETWORKS[name]
    module = tools.fill(constructor().double(), seed=3)
    network = trace(module, shape)
    tensors = effective_tensors(network, module.state_dict())
    norms = tools.measured_norms(network, tensors, moved_tensors(tensors, 0.1, seed=5))
    bound = propagate_all(network.nodes, norms, RADIUS)[network.nodes[-1].name]
    slopes = sensitivities(network.nodes, norms, RADIUS)
    linear = sum(
        float(slopes[key].weight) * one.error_upper + float(slopes[key].bias) * one.bias_error_upper
        for key, one in norms.items()
    )
    assert float(bound.deviation) <= linear * SLACK
