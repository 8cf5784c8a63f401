"""Each kind of layer against torch's own module, its weights as they are and drawn afresh."""

import math

import pytest
import torch
from torch import nn

from dlgen_cli.networks.layer_kinds import LAYER_KINDS, apply_map, kind_of
from dlgen_cli.networks.tracer import trace
from dlgen_cli.records import DIAGONAL_KINDS
from dlgen_cli.spectra.dense import spectral_norm_bounds
from dlgen_cli.spectra.operator_norms import norm_of_weight

MODULES = {
    "linear": (nn.Linear(5, 4), (5,)),
    "linear of sequences": (nn.Linear(5, 4), (3, 5)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (4, 9)),
    "conv2d": (nn.Conv2d(3, 5, 3, stride=2, padding=1, padding_mode="reflect"), (3, 7, 6)),
    "conv2d of one tap": (nn.Conv2d(3, 5, 1, stride=2), (3, 7, 6)),
    "conv2d with groups": (nn.Conv2d(4, 6, 3, dilation=2, groups=2), (4, 7, 7)),
    "conv3d": (nn.Conv3d(2, 3, 2), (2, 4, 4, 4)),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), (4, 3, 3)),
    "diagonal": (nn.BatchNorm2d(3), (3, 4, 4)),
    "layer_norm": (nn.LayerNorm(5), (3, 5)),
    "layer_norm of two axes": (nn.LayerNorm((4, 5)), (3, 4, 5)),
    "group_norm": (nn.GroupNorm(2, 4), (4, 3, 3)),
    "instance_norm": (nn.InstanceNorm2d(4, affine=True), (4, 3, 3)),
}


@pytest.fixture(params=MODULES)
def case(request, tools):
    """A module, its layer, and three examples."""
    module, shape = MODULES[request.param]
    module = tools.fill(module).double()
    if request.param == "diagonal":
        module.running_mean.zero_()
        module.running_var.fill_(1 - module.eps)
    (layer,) = trace(nn.Sequential(module), shape).layers.values()
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return module, layer, x


def test_it_is_applied_as_the_module_applies_it(case):
    module, layer, x = case
    found = apply_map(layer, x, module.weight, module.bias)
    torch.testing.assert_close(found, module(x))
    kind = kind_of(layer)
    plain = kind.apply(x, module.weight, None)
    torch.testing.assert_close(plain + kind.align_bias(module.bias, plain), found)


def test_each_example_meets_weights_of_its_own(case):
    module, layer, x = case
    own = torch.stack([(1 + step) * module.weight for step in range(len(x))])
    expected = torch.cat([apply_map(layer, x[j : j + 1], own[j], None) for j in range(len(x))])
    torch.testing.assert_close(kind_of(layer).apply_own(x, own), expected)
    biases = torch.stack([(1 + step) * module.bias for step in range(len(x))])
    each = [kind_of(layer).align_bias(biases[j], expected[j : j + 1]) for j in range(len(x))]
    expected += torch.cat([one.expand_as(expected[:1]) for one in each])
    found = kind_of(layer).apply_own(x, own)
    torch.testing.assert_close(found + kind_of(layer).align_bias(biases, found), expected)


def test_patches_times_the_matrix_are_the_output(case):
    module, layer, x = case
    kind = kind_of(layer)
    if not kind.has_patches:
        return
    output = kind.apply(x, module.weight, None)
    positions = kind.patches(x) @ module.weight.flatten(1).mT
    torch.testing.assert_close(kind.to_positions(output), positions)
    torch.testing.assert_close(kind.from_positions(x, positions), output)
    assert positions.shape[1] == math.prod(layer.output_shape) // layer.channels


def test_its_norm_encloses_that_of_its_dense_operator(case, tools):
    module, layer, _ = case
    found = norm_of_weight(
        layer,
        module.weight,
        geometry="known",
        tolerance=0.02,
        matrix_norm=spectral_norm_bounds,
    )
    exact = float(torch.linalg.matrix_norm(tools.dense_operator(layer, module.weight), 2))
    assert found.lower <= exact * (1 + 1e-12)
    assert exact <= found.upper * (1 + 1e-12)


def test_only_diagonal_kinds_are_stored_whole():
    found = {name for name, kind in LAYER_KINDS.items() if kind.is_diagonal}
    assert found == set(DIAGONAL_KINDS)
    assert {LAYER_KINDS[name].operator for name in found} == {"factors", "vector"}
