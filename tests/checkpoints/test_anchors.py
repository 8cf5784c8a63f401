"""Every accepted shape of an anchors file, and what does not match by name and shape."""

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.anchors import open_anchors
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import AnchorError

NAMES = {"layers.0.weight": (2, 3), "layers.1.weight": (4, 2)}


def a_state(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in NAMES.items()}


def flat(state):
    return torch.cat([tensor.flatten() for tensor in state.values()])


ONE, TWO, THREE = a_state(1), a_state(2), a_state(3)
STACK = torch.stack([flat(ONE), flat(TWO), flat(THREE)])
SHAPES = {
    "one state dict": (ONE, ["x.pt"]),
    "nested": ({"state_dict": ONE, "epoch": 1}, ["x.pt"]),
    "prefixed": ({f"module.{name}": tensor for name, tensor in ONE.items()}, ["x.pt"]),
    "a list": ([ONE, TWO], ["x.pt[0]", "x.pt[1]"]),
    "a tuple of nested": (({"model": ONE}, {"model": TWO}), ["x.pt[0]", "x.pt[1]"]),
    "a dict": ({"start": ONE, "middle": TWO}, ["x.pt[start]", "x.pt[middle]"]),
    "a stack": (STACK, ["x.pt[0]", "x.pt[1]", "x.pt[2]"]),
    "a stack by name": ({"anchors": STACK}, ["x.pt[0]", "x.pt[1]", "x.pt[2]"]),
    "one vector": (flat(ONE), ["x.pt"]),
    "vectors": ([flat(ONE), flat(TWO)], ["x.pt[0]", "x.pt[1]"]),
}


@pytest.fixture
def checkpoint(tmp_path):
    save_file(a_state(0), tmp_path / "checkpoint.safetensors")
    return open_checkpoint(tmp_path / "checkpoint.safetensors")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_accepted_shape(tmp_path, checkpoint, shape):
    tree, labels = SHAPES[shape]
    torch.save(tree, tmp_path / "x.pt")
    anchors = open_anchors([tmp_path / "x.pt"], checkpoint)
    assert [anchor.name for anchor in anchors] == labels
    for anchor, state in zip(anchors, (ONE, TWO, THREE), strict=False):
        for name in NAMES:
            assert torch.equal(anchor.read(name), state[name])


def test_safetensors_hold_one_anchor_or_a_stack(tmp_path, checkpoint):
    save_file(ONE, tmp_path / "one.safetensors")
    save_file({"anchors": STACK}, tmp_path / "stack.safetensors")
    anchors = open_anchors(
        [tmp_path / "one.safetensors", tmp_path / "stack.safetensors"], checkpoint
    )
    assert [anchor.name for anchor in anchors] == [
        "one.safetensors",
        *(f"stack.safetensors[{index}]" for index in range(3)),
    ]
    assert torch.equal(anchors[2].read("layers.1.weight"), TWO["layers.1.weight"])


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"layers.0.weight": ONE["layers.0.weight"]}, r"no tensor layers.1.weight .*\(4, 2\)"),
        (
            {**ONE, "layers.1.weight": torch.ones(2, 4)},
            r"layers.1.weight has shape \(2, 4\).*\(4, 2\)",
        ),
        ({**ONE, "extra": torch.ones(5)}, r"extra of shape \(5,\)"),
        ({"a": ONE, "b": {"layers.0.weight": torch.ones(2, 3)}}, r"x.pt\[b\] has no tensor"),
        (torch.ones(2, 13), r"shape \(2, 13\).*\(K, 14\)"),
        ([ONE, 3], "holds a int"),
        ([], "holds a list"),
        ({"note": "empty"}, "without tensors"),
    ],
)
def test_what_does_not_match_is_refused_by_name_and_shape(tmp_path, checkpoint, tree, message):
    torch.save(tree, tmp_path / "x.pt")
    with pytest.raises(AnchorError, match=message):
        open_anchors([tmp_path / "x.pt"], checkpoint)


@pytest.mark.parametrize(("own", "other"), [("net.", ""), ("", "net."), ("a.", "a.")])
def test_a_prefix_of_one_file_alone_is_taken_off_or_told(tmp_path, own, other):
    state = {"l.weight": torch.ones(2, 3), "l.bias": torch.ones(2)}
    for path, prefix in (("x", own), ("anchor", other)):
        torch.save({prefix + name: one for name, one in state.items()}, tmp_path / path)
    if own == "net.":
        with pytest.raises(AnchorError, match=r"give --prefix 'net\."):
            open_anchors([tmp_path / "anchor"], open_checkpoint(tmp_path / "x"))
    checkpoint = open_checkpoint(tmp_path / "x", prefix="net." if own == "net." else "")
    (anchor,) = open_anchors([tmp_path / "anchor"], checkpoint)
    assert set(anchor.source.tensors) == set(checkpoint.tensors)
