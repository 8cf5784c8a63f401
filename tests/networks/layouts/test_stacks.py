"""Stacks of matrices and depthwise kernels: the matrices that they hold are the measure."""

import pytest
import torch
from torch import nn

STACKS = {
    "experts": ({"moe.experts.weight": torch.Size([3, 6, 4])}, "moe.experts.weight"),
    "fused experts": ({"mlp.experts.gate_up_proj": torch.Size([3, 4, 8])}, None),
    "layers of experts": ({"experts.w1": torch.Size([2, 3, 5, 4])}, None),
    "gguf": ({"blk.0.ffn_up_exps.weight": torch.Size([3, 6, 4])}, None),
    "ensemble": (
        {"net.0.weight": torch.Size([3, 4, 6]), "net.0.bias": torch.Size([3, 1, 6])},
        None,
    ),
    "members": ({"q.weight": torch.Size([3, 4, 6]), "q.bias": torch.Size([3, 4])}, None),
    "a list of members": (
        {"net.0.weight": torch.Size([3, 16, 24]), "net.2.weight": torch.Size([3, 24, 2])},
        None,
    ),
    "linear": ({"block.input_linear.weight": torch.Size([3, 6, 4])}, None),
    "a router": (
        {"ff.w1.weight": torch.Size([3, 6, 4]), "ff.gate.weight": torch.Size([3, 4])},
        None,
    ),
    "partners": (
        {"ff.w1.weight": torch.Size([3, 9, 4]), "ff.w2.weight": torch.Size([3, 4, 9])},
        None,
    ),
}


@pytest.mark.parametrize("kind", STACKS)
def test_a_stack_is_one_matrix_for_each_member(read, kind):
    torch.manual_seed(0)
    state = {name: torch.randn(shape) for name, shape in STACKS[kind][0].items()}
    found = read(state)
    name = next(iter(state))
    stack = state[name]
    leading = stack.ndim - 2
    count = stack.shape[:leading].numel()
    mine = [one for one in found.layers if one.startswith(f"{name}[")]
    assert len(mine) == count
    assert {found.kinds[one] for one in mine} == {"stacked"}
    for one, matrix in zip(mine, stack.flatten(0, leading - 1), strict=True):
        assert torch.equal(found.weight(one), matrix)
    assert "side by side" not in (found.network.obstacle or "")
    assert found.network.obstacle is not None


KERNELS = {
    "by its name": {"conv.weight": torch.ones(4, 3, 64)},
    "by its bias": {"x.weight": torch.ones(4, 3, 64), "x.bias": torch.ones(4)},
    "by its normalization": {"net.0.weight": torch.ones(6, 4, 3), "net.1.weight": torch.ones(6)},
    "by one beside it": {
        "down.proj.weight": torch.ones(6, 4, 3),
        "down.norm.weight": torch.ones(6),
    },
    "by the next in a list": {
        "net.0.weight": torch.ones(6, 4, 3),
        "net.2.weight": torch.ones(5, 6, 3),
    },
    "transposed": {"up.weight": torch.ones(6, 4, 3), "up.bias": torch.ones(4)},
    "of three taps": {
        "net.0.weight": torch.ones(16, 3, 3),
        "net.1.weight": torch.ones(16, 16, 3),
        "net.2.weight": torch.ones(16, 1, 3),
        "net.3.weight": torch.ones(16, 16, 1),
    },
    "in a stack of layers": {
        "net.0.weight": torch.ones(6, 3, 5),
        "net.1.weight": torch.ones(6, 6, 5),
    },
}


@pytest.mark.parametrize("kind", KERNELS)
def test_a_kernel_stays_a_convolution(read, kind):
    kinds = read(KERNELS[kind]).kinds.values()
    assert all(one.startswith("conv") for one in kinds)


@pytest.mark.parametrize("shape", [(4, 40, 48), (4, 8, 6), (6, 4, 3)])
def test_three_axes_of_which_nothing_tells_are_named_and_withhold(read, shape):
    found = read({"x.weight": torch.ones(shape), "y.weight": torch.ones(2, 2)})
    assert list(found.layers) == ["y.weight"]
    assert "not on record" in found.skipped["x.weight"]
    assert found.network.roles["x.weight"] == "unknown"


def test_a_kernel_of_one_channel_after_as_many_is_depthwise(read):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 3, groups=5), nn.Conv2d(1, 5, 3))
    state = {f"f.{name}": one for name, one in net.state_dict().items() if "weight" in name}
    found = read(state)
    assert [layer.groups for layer in found.layers.values()] == [1, 5, 5]
    assert "depthwise" in found.layers["f.1.weight"].note
    alone = read({"f.weight": torch.ones(5, 1, 3, 3)})
    assert alone.layers["f.weight"].groups == 1
    apart = read({"a.weight": torch.ones(5, 3, 1, 1), "b.weight": torch.ones(5, 1, 3, 3)})
    assert apart.layers["b.weight"].groups == 1  # the first layer of another part, perhaps
