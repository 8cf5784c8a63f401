"""Tensors are read when they are asked for, by name."""

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import TensorError
from dlgen_cli.networks.tensors import CheckpointTensors, read_tensor

STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "b.weight": torch.ones(2, 2, 2),
    "c.weight": torch.full((2, 2), 0.5).to(torch.float8_e4m3fn),
    "bad": torch.tensor([1.0, float("nan")]),
}


@pytest.fixture
def tensors(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    return CheckpointTensors(open_checkpoint(tmp_path / "a.safetensors"))


def test_they_are_a_mapping_that_reads_by_name(tensors):
    assert set(tensors) == set(STATE)
    assert len(tensors) == 4
    assert "bad" in tensors  # nothing is read
    assert torch.equal(tensors["a.weight"], STATE["a.weight"])
    assert tensors["b.weight"] is tensors["b.weight"]  # each matrix of a stack asks for it
    with pytest.raises(KeyError):
        tensors["d"]
    with pytest.raises(TensorError, match="bad"):
        tensors["bad"]


def test_what_the_network_reads_comes_with_arithmetic(tensors):
    assert read_tensor("a.weight", tensors).dtype == torch.float32
    found = read_tensor("c.weight", tensors)
    assert torch.equal(found.float(), torch.full((2, 2), 0.5))
    assert found.itemsize > 1
    with pytest.raises(TensorError, match="no tensor missing, which the network reads"):
        read_tensor("missing", tensors)
