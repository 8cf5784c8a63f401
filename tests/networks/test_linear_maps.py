"""A module's layer has the shape and geometry of the module."""

import pytest
import torch
from torch import nn

from dlgen_cli.networks.calls import Activation, Call, NoRuleError
from dlgen_cli.networks.linear_maps import read_layer


def layer_of(module, shape):
    result = module.eval()(torch.zeros(1, *shape))
    call = Call(
        node="n",
        operation="module",
        path="body",
        args=(Activation("x", (1, *shape)),),
        kwargs={},
        module=module,
        result_shape=tuple(result.shape),
    )
    return read_layer(call)


CONVOLUTIONS = [
    (nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2), (2, 9)),
    (nn.Conv2d(3, 5, (3, 2), padding=(1, 0), dilation=2, bias=False), (3, 9, 9)),
    (nn.Conv2d(1, 1, 3, padding="same", padding_mode="reflect"), (1, 6, 6)),
    (nn.Conv2d(1, 1, 2, padding="valid"), (1, 6, 6)),
    (nn.Conv3d(1, 2, 2), (1, 3, 3, 3)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), (4, 5, 5)),
]


@pytest.mark.parametrize(("module", "shape"), CONVOLUTIONS, ids=str)
def test_a_convolution_keeps_its_geometry(module, shape):
    layer = layer_of(module, shape)
    assert layer.weight_shape == tuple(module.weight.shape)
    assert layer.has_own_bias == (module.bias is not None)
    assert (layer.stride, layer.dilation, layer.groups) == (
        module.stride, module.dilation, module.groups
    )  # fmt: skip
    assert layer.padding_mode == module.padding_mode
    assert layer.transposed == module.transposed
    assert layer.channels == module.out_channels
    forward = [
        (n + 2 * p - t * (k - 1) - 1) // s + 1
        for n, p, t, k, s in zip(
            layer.input_size, layer.padding, layer.dilation, module.kernel_size, layer.stride,
            strict=True,
        )
    ]  # fmt: skip
    assert layer.transposed or tuple(forward) == layer.output_size


def test_a_matrix_and_a_normalization():
    layer = layer_of(nn.Linear(4, 3), (7, 4))
    assert (layer.kind, layer.weight_shape, layer.positions) == ("linear", (3, 4), 7)
    norm = layer_of(nn.BatchNorm2d(3, eps=0.5, affine=False), (3, 2, 2))
    assert (norm.kind, norm.weight_shape, norm.is_batch_norm) == ("diagonal", (3,), True)
    assert (norm.batch_norm.epsilon, norm.batch_norm.affine) == (0.5, False)
    assert layer_of(nn.ReLU(), (3,)) is None


class Own(nn.Linear):
    """Someone else's class of the same name tells nothing."""


def test_what_is_not_torch_s_own_is_no_layer():
    assert layer_of(Own(2, 2), (2,)) is None


@pytest.mark.parametrize(
    ("module", "shape", "reason"),
    [
        (nn.Conv2d(1, 1, 2, padding="same"), (1, 4, 4), "not the same on both sides"),
        (nn.BatchNorm1d(3, track_running_stats=False), (3, 2), "statistics of its batch"),
        (nn.utils.parametrizations.orthogonal(nn.Linear(2, 2)), (2,), "no rule"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding")
def test_what_has_no_rule_is_named(module, shape, reason):
    with pytest.raises(NoRuleError, match=reason):
        layer_of(module, shape)
