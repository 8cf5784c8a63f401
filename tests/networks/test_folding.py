"""Folded against unfolded, in float64; weight normalization; anchors under the same names."""

import warnings

import mpmath
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from dlgen_cli.errors import TensorError
from dlgen_cli.networks.folding import effective_layer, effective_tensors
from dlgen_cli.networks.tracer import trace

FOLDED = {
    "convolution": ((nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6)), (4, 5, 5)),
    "with bias": ((nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6, eps=0.1)), (3, 4, 4)),
    "transposed": (
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d(6)),
        (4, 3, 3),
    ),
    "one axis": ((nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3, affine=False)), (2, 7)),
    "three axes": ((nn.ConvTranspose3d(2, 3, 2), nn.BatchNorm3d(3)), (2, 3, 3, 3)),
    "dense": ((nn.Linear(5, 4), nn.BatchNorm1d(4)), (5,)),
    "dense without bias": ((nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4)), (5,)),
}
KEPT = {
    "before the layer": ((nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), (3, 5, 5)),
    "after an activation": ((nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), (3, 5, 5)),
    "on another axis": ((nn.Linear(5, 4), nn.BatchNorm1d(3)), (3, 5)),
    "twice": ((nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)), (3, 5, 5)),
}


def check_output(tools, module, shape):
    network = trace(module, shape)
    assert network.unsupported is None
    tensors = effective_tensors(network, module.state_dict())
    x = torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    run = tools.Execution(module, network)
    torch.testing.assert_close(
        run(tensors, x)[network.nodes[-1].name], module(x.clone()), rtol=1e-12, atol=1e-12
    )
    assert sum(tensor.numel() for tensor in tensors.values()) == network.parameters
    assert all(tensor.dtype == torch.float64 for tensor in tensors.values())
    return network


@pytest.mark.parametrize("name", FOLDED)
def test_folding_keeps_the_function(tools, name):
    parts, shape = FOLDED[name]
    network = check_output(tools, tools.fill(nn.Sequential(*parts).double()), shape)
    assert [node.kind for node in network.nodes] == ["input", "linear"]
    assert list(network.layers) == ["0.weight"]
    assert network.unused == ()


@pytest.mark.parametrize("first", [nn.Linear(5, 300), nn.Identity()])
def test_the_rounding_of_a_bias_is_that_of_the_parts_that_cancel(tools, first):
    norm = nn.BatchNorm1d(300 if isinstance(first, nn.Linear) else 5)
    tools.fill(nn.Sequential(first, norm).double())
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    own = first.bias if isinstance(first, nn.Linear) else torch.zeros(5)
    norm.bias.data = (norm.running_mean - own.detach()) * scale * (1 + 2**-40)
    network = trace(nn.Sequential(first, norm), (5,))
    (layer,) = network.layers.values()
    state = nn.Sequential(first, norm).state_dict()
    found = effective_layer(layer, state)
    with mpmath.workdps(60):

        def exact(i):
            mean, variance, g, b, c = (
                mpmath.mpf(float(one[i]))
                for one in (norm.running_mean, norm.running_var, norm.weight, norm.bias, own)
            )
            return (c - mean) * g / mpmath.sqrt(variance + mpmath.mpf(norm.eps)) + b

        errors = [mpmath.mpf(float(one)) - exact(i) for i, one in enumerate(found.bias)]
        error = mpmath.sqrt(mpmath.fsum(one**2 for one in errors))
    assert 0 < error <= found.bias_rounding_upper
    assert found.bias_rounding_upper < 1e-13 * float((scale * norm.running_mean).norm())


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_folded_is_a_diagonal_layer(tools, name):
    parts, shape = KEPT[name]
    network = check_output(tools, tools.fill(nn.Sequential(*parts).double()), shape)
    kinds = [node.kind for node in network.nodes]
    assert kinds.count("diagonal") == 1
    diagonal = next(one for one in network.layers.values() if one.kind == "diagonal")
    assert diagonal.parameters == 2 * diagonal.channels


class Shared(nn.Module):
    def __init__(self, *, tied):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.tied = tied

    def forward(self, x):
        x = self.conv(x)
        if self.tied:
            return self.two(self.conv(self.one(x)))
        return self.one(x) + self.two(x)


@pytest.mark.parametrize("tied", [False, True])
def test_a_layer_with_two_readers_is_not_folded(tools, tied):
    network = check_output(tools, tools.fill(Shared(tied=tied).double()), (3, 4, 4))
    assert [node.kind for node in network.nodes].count("diagonal") == 2
    assert network.parameters == 3 * 3 * 9 + 3 + 2 * 6
    assert sum(node.layer == "conv.weight" for node in network.nodes) == 1 + tied


class TwoSizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3)

    def forward(self, x):
        return self.conv(self.conv(x))


def test_a_layer_on_two_sizes_is_two_layers_with_the_same_tensors(tools):
    network = check_output(tools, tools.fill(TwoSizes().double()), (2, 6, 6))
    one, two = network.layers.values()
    assert (one.name, two.name) == ("conv.weight", "conv.weight@2x4x4")
    assert (one.weight_name, one.input_size, two.input_size) == (two.weight_name, (6, 6), (4, 4))
    assert network.parameters == one.parameters


def weight_normalized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield "old", nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
        yield "old, whole", nn.utils.weight_norm(nn.Conv2d(3, 4, 3), dim=None)
        yield "old, inputs", nn.utils.weight_norm(nn.Conv2d(3, 4, 3), dim=1)
    yield "new", parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    yield "new, whole", parametrizations.weight_norm(nn.Conv2d(3, 4, 3), dim=None)


@pytest.mark.parametrize("module", [pytest.param(m, id=name) for name, m in weight_normalized()])
def test_weight_normalization_is_resolved_before_folding(tools, module):
    module = tools.fill(nn.Sequential(module, nn.BatchNorm2d(4)).double())
    network = check_output(tools, module, (3, 4, 4))
    assert network.unused == ()
    effective = effective_layer(network.layers["0.weight"], module.state_dict())
    assert 0 < effective.rounding_upper < 1e-13


def test_an_anchor_is_folded_like_its_checkpoint(tools):
    module = tools.fill(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), seed=1)
    anchor = tools.fill(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), seed=2)
    network = trace(module, (3, 4, 4))
    found = effective_tensors(network, anchor.state_dict())
    own = effective_tensors(trace(anchor, (3, 4, 4)), anchor.state_dict())
    assert found.keys() == own.keys()
    assert all(torch.equal(found[name], own[name]) for name in own)


def test_rounding_of_a_folded_weight_is_within_its_bound(tools):
    module = tools.fill(nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5)))
    state = module.state_dict()
    effective = effective_layer(trace(module, (7,)).layers["0.weight"], state)
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        for row in range(5):
            spread = mpmath.mpf(float(state["1.running_var"][row])) + mpmath.mpf(1e-5)
            scale = mpmath.mpf(float(state["1.weight"][row])) / mpmath.sqrt(spread)
            for column in range(7):
                exact = mpmath.mpf(float(state["0.weight"][row, column])) * scale
                error = abs(mpmath.mpf(float(effective.weight[row, column])) - exact)
                assert error <= abs(exact) * effective.rounding_upper


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"1.running_mean": None}, "no tensor 1.running_mean"),
        (
            {"0.weight": torch.ones(4, 3, 3, 2)},
            r"0.weight has shape \(4, 3, 3, 2\); \(4, 3, 3, 3\)",
        ),
        ({"1.weight": torch.ones(5)}, "1.weight has shape"),
        ({"1.running_var": -torch.ones(4)}, "running_var has an entry of -1"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes, message):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network = trace(module, (3, 4, 4))
    state = {**module.state_dict(), **changes}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    with pytest.raises(TensorError, match=message):
        effective_tensors(network, state)


def test_the_module_is_not_changed():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    network = trace(module, (3, 4, 4))
    effective_tensors(network, module.state_dict())
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
