"""A state dict in memory reads as its file would."""

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.in_memory import checkpoint_of
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, TensorError


def test_names_shapes_and_entries_are_those_of_the_file(tmp_path):
    tensors = {
        "a.weight": torch.randn(3, 2),
        "a.bias": torch.randn(3).half(),
        "steps": torch.tensor(4),
    }
    save_file(tensors, tmp_path / "w.safetensors")
    stored, held = open_checkpoint(tmp_path / "w.safetensors"), checkpoint_of(tensors, "held")
    assert held.tensors.keys() == stored.tensors.keys()
    assert held.parameters == stored.parameters == 9
    for name in ("a.weight", "a.bias"):
        assert torch.equal(held.read(name), stored.read(name))
        assert held.tensors[name].dtype == stored.tensors[name].dtype


def test_a_tied_tensor_counts_once_and_buffers_are_no_parameters():
    weight = torch.randn(4, 4)
    tied = checkpoint_of({"embed": weight, "head": weight, "mask": torch.ones(2)}, "it", {"mask"})
    assert tied.parameters == 16


def test_the_digest_tells_entries_and_not_their_order():
    one, two = torch.randn(2, 2), torch.randn(3)
    digest = checkpoint_of({"a": one, "b": two}, "it").sha256
    assert checkpoint_of({"b": two, "a": one}, "other").sha256 == digest
    assert checkpoint_of({"a": one + 1, "b": two}, "it").sha256 != digest


def test_what_is_no_tensor_or_not_finite_is_refused():
    with pytest.raises(CheckpointError, match="a tensor was expected"):
        checkpoint_of({"state": [1]}, "it")
    bad = checkpoint_of({"w": torch.tensor([[float("nan")]])}, "it")
    with pytest.raises(TensorError, match="NaN"):
        bad.read("w")
