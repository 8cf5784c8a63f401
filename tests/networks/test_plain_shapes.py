"""The plain rules against torch's own kernels for the meta device, and against real entries."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dlgen_cli.networks.plain_shapes import plain_result


def shape(operation, args, kwargs=None, *, module=None, in_place=False):
    found = plain_result(operation, module, args, kwargs or {}, in_place=in_place)
    return None if found is None else tuple(found.shape)


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
)
def test_convolutions(size, kernel, stride, padding, dilation, groups):
    conv = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups)
    found = shape("conv2d", (torch.empty(1, 4, *size, device="meta"),), module=conv)
    try:
        expected = tuple(conv(torch.zeros(1, 4, *size)).shape)
    except RuntimeError:  # the kernel is larger than the padded map
        expected = None
    assert found == expected


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.Linear(5, 3), (1, 5)),
        (nn.Linear(5, 3, bias=False), (2, 7, 5)),
        (nn.GroupNorm(2, 4), (1, 4, 3, 3)),
        (nn.ReLU(), (1, 4)),
        (nn.GELU(), (1, 4, 2)),
    ],
)
def test_modules(module, size):
    x = torch.zeros(size)
    assert shape("", (x.to("meta"),), module=module) == tuple(module(x).shape)


def test_functions():
    x = torch.empty(1, 4, 3, 3, device="meta")
    assert shape("relu", (x,)) == (1, 4, 3, 3)
    assert shape("add", (x, x)) == (1, 4, 3, 3)
    assert shape("mean", (x,), {"dim": (2, 3)}) == (1, 4)


def test_what_is_not_plain_is_left_to_torch():
    x = torch.empty(1, 4, 3, 3, device="meta")
    hooked = nn.Linear(3, 2)
    hooked.register_forward_hook(lambda *_: None)
    reflecting = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    calls = [
        ("linear", (x,), {}, hooked),
        ("linear", (x.double(),), {}, nn.Linear(3, 2)),
        ("linear", (x,), {}, nn.Linear(4, 2)),
        ("conv2d", (x,), {}, reflecting),
        ("conv2d", (x,), {}, nn.Conv2d(3, 4, 1)),
        ("relu", (x,), {}, nn.ReLU(inplace=True)),
        ("relu", (x.transpose(1, 2),), {}, None),
        ("add", (x, x[:, :1]), {}, None),
        ("add", (x, x), {"alpha": 2}, None),
        ("mean", (x,), {"dim": 1}, None),
        ("softmax", (x,), {"dim": 1}, None),
        ("gelu", (torch.zeros(2),), {}, None),
    ]
    assert [shape(name, args, kwargs, module=one) for name, args, kwargs, one in calls] == (
        [None] * len(calls)
    )
    assert shape("relu", (x,), in_place=True) is None
    assert functional.relu(x).shape == x.shape
