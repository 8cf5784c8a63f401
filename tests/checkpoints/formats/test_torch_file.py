"""Torch files that are plain pickles, and what is said of files that are cut short."""

import pickle

import numpy as np
import pytest
import torch

from dlgen_cli.checkpoints.formats import torch_file
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError


def opened(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return open_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_that_pickle_wrote_are_read(tmp_path, protocol, dtype):
    torch.manual_seed(0)
    whole = torch.randn(6, 4).to(dtype)
    state = {
        "a.weight": whole,
        "a.bias": torch.randn(6).to(dtype),
        "columns.weight": torch.randn(5, 3).to(dtype).T,
        "part": torch.randn(10).to(dtype)[3:7],
        "parameter": torch.nn.Parameter(whole + 1),
        "tied.weight": whole,
        "steps": torch.tensor(7),
    }
    checkpoint = opened(tmp_path / "x.pkl", state, protocol)
    for name, tensor in state.items():
        assert torch.equal(checkpoint.read(name), tensor)
    assert checkpoint.tensors["tied.weight"].is_view
    entries = sum(one.entries for one in checkpoint.tensors.values())
    entries += sum(one.entries for one in checkpoint.left_aside)
    assert not checkpoint.not_understood
    assert entries == 24 + 6 + 15 + 10 + 24 + 1


def test_a_module_that_pickle_wrote_is_read_by_its_names(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    checkpoint = opened(tmp_path / "x.pkl", module)
    assert list(checkpoint.tensors) == list(module.state_dict())
    assert torch.equal(checkpoint.read("0.weight"), module[0].weight)


def test_a_large_pickle_is_read_or_its_size_is_named(tmp_path, monkeypatch):
    array = np.arange(600.0).reshape(20, 30)
    monkeypatch.setattr(torch_file, "MOST_BYTES", 1 << 10)
    checkpoint = opened(tmp_path / "x.pkl", {"a": array})
    assert torch.equal(checkpoint.read("a"), torch.from_numpy(array))
    monkeypatch.setattr(torch_file, "_MOST_PICKLE", 1 << 10)
    with pytest.raises(CheckpointError, match="a plain pickle of 4,9") as caught:
        open_checkpoint(tmp_path / "x.pkl")
    assert "torch.save" in caught.value.remedy


@pytest.mark.parametrize("legacy", [True, False])
def test_only_a_file_that_is_cut_short_is_said_to_be(tmp_path, legacy):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(40, 40)}, path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    for part in (2, 3):
        path.write_bytes(content[: len(content) * part // 4])
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        assert "copied in full" in caught.value.remedy


def test_a_whole_file_of_another_kind_is_not_said_to_be_cut_short(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04" + b"\x94" * 40 + b".")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert "copied in full" not in str(caught.value)
