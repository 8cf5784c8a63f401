"""The plain rules against torch's own kernels for the meta device, and against real entries."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils import _pytree as pytree

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
def test_windows(size, kernel, stride, padding, dilation, groups):
    for window in (
        nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups),
        nn.MaxPool2d(kernel, stride, padding, dilation),
        nn.AvgPool2d((kernel, 2), stride, padding),
    ):
        found = shape("", (torch.empty(1, 4, *size, device="meta"),), module=window)
        try:
            expected = tuple(window(torch.zeros(1, 4, *size)).shape)
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
        (nn.Hardswish(), (1, 4, 2)),
        (nn.LayerNorm((3, 5)), (2, 4, 3, 5)),
        (nn.BatchNorm1d(4).eval(), (2, 4)),
        (nn.BatchNorm1d(4).eval(), (2, 4, 3)),
        (nn.BatchNorm2d(4).eval(), (1, 4, 3, 2)),
        (nn.BatchNorm3d(4).eval(), (1, 4, 3, 2, 2)),
        (nn.AdaptiveAvgPool2d(1), (2, 4, 3, 2)),
        (nn.AdaptiveAvgPool2d((7, 5)), (2, 4, 3, 2)),
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
    assert shape("layernorm", (x, (3, 3), None, None, 1e-5)) == (1, 4, 3, 3)
    assert shape("adaptiveavgpool2d", (x, (1, 1))) == (1, 4, 1, 1)


@given(
    left=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    right=st.lists(st.integers(1, 3), min_size=1, max_size=4),
)
def test_pairs_are_broadcast_and_joined(left, right):
    one, other = torch.zeros(left), torch.zeros(right)
    for name, args, kwargs in [
        ("mul", (one, other), {}),
        ("add", (one, 2.5), {}),
        ("cat", ([one, other, one], 1), {}),
        ("cat", ([one, other],), {"dim": 1}),
    ]:
        try:
            expected = tuple(getattr(torch, name)(*args, **kwargs).shape)
        except (RuntimeError, IndexError):
            expected = None
        bare = pytree.tree_map_only(torch.Tensor, lambda x: x.to("meta"), args)
        assert shape(name, bare, kwargs) == expected


def test_permuted_axes():
    x = torch.zeros(2, 3, 4, 5).permute(0, 3, 1, 2)
    scale = torch.zeros(5, 1, 1)
    norm, conv = nn.LayerNorm(4), nn.Conv2d(5, 6, 2)
    for name, module, others, expected in [
        ("mul", None, [scale], x * scale),
        ("add", None, [x], x + x),
        ("sub", None, [scale], x - scale),
        ("mul", None, [2.0], x * 2.0),
        ("layernorm", norm, [], norm(x)),
        ("adaptiveavgpool2d", nn.AdaptiveAvgPool2d(1), [], torch.zeros(2, 5, 1, 1)),
        ("conv2d", conv, [], conv(x)),
        ("layernorm", None, [(4,)], functional.layer_norm(x, (4,))),
    ]:
        bare = pytree.tree_map_only(torch.Tensor, lambda y: y.to("meta"), [x, *others])
        found = plain_result(name, module, bare, {}, in_place=False)
        assert (found.shape, found.stride()) == (expected.shape, expected.stride()), name
    meta = x.to("meta")
    found = plain_result("mul", None, (scale.to("meta"), meta), {}, in_place=False)
    assert (found.shape, found.stride()) == (x.shape, (scale * x).stride())
    assert plain_result("add", None, (meta, meta.contiguous()), {}, in_place=False) is None
    assert plain_result("add", None, (meta[:, ::2], 1.0), {}, in_place=False) is None


def test_what_changes_its_argument_returns_it():
    x = torch.empty(1, 4, device="meta")
    assert plain_result("relu6", nn.ReLU6(inplace=True), (x,), {}, in_place=True) is x
    assert plain_result("add", None, (x, x), {}, in_place=True) is x
    assert plain_result("mul", None, (x, x[:, :1]), {}, in_place=True) is x
    assert plain_result("add", None, (x[:, :1], x), {}, in_place=True) is None


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
        ("add", (x, x.double()), {}, None),
        ("mul", (x, torch.tensor(2)), {}, None),
        ("cat", ([x, x],), {}, None),
        ("cat", ([x, x.double()], 1), {}, None),
        ("batchnorm2d", (x,), {}, nn.BatchNorm2d(4)),
        ("batchnorm2d", (x,), {}, nn.BatchNorm2d(3).eval()),
        ("layernorm", (x, (4,)), {}, None),
        ("adaptiveavgpool2d", (x, 2), {}, None),
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


def test_tracing_networks_of_torchvision_leaves_the_compiler_of_torch_alone():
    code = (
        "import sys\n"
        "from dlgen_cli import architectures\n"
        "from dlgen_cli.networks.tracer import trace\n"
        "for name in ('resnet18', 'mobilenet_v2', 'convnext_tiny'):\n"
        "    trace(architectures.build(name).eval(), (3, 32, 32))\n"
        "early = bool({'torch._dynamo', 'sympy'} & set(sys.modules))\n"
        "import torch, importlib\n"
        "operator = importlib.import_module('torchvision.ops.roi_align')\n"
        "asked = operator.is_compile_supported('cpu')\n"
        "print(early, asked, torch._dynamo.is_dynamo_supported())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    early, asked, supported = done.stdout.split()
    assert early == "False"
    assert asked == supported
