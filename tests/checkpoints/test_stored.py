"""Every stored type is read exactly; the others are named with their reason."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import TensorError

WAYS = ["safetensors", "zip", "legacy"]
FLOATING = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


def write(tensors, path, way):
    if way == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=way == "zip")
    return path


def every_value(kind):
    """All finite values of the small types, all kinds of values of the large ones."""
    dtype = getattr(torch, kind)
    if dtype.itemsize == 1:
        values = torch.arange(256, dtype=torch.uint8).view(dtype)
    elif dtype.itemsize == 2:
        values = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    else:
        values = torch.tensor([0.0, -0.0, 5e-324, 1e-45, 1 / 3, 3.4e38]).to(dtype)
    finite = torch.isfinite(values.float())
    return torch.where(finite, values.float(), 0).to(dtype) if dtype.itemsize < 4 else values


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", FLOATING)
def test_every_value_of_every_type_is_read_exactly(tmp_path, kind, way):
    values = every_value(kind)
    checkpoint = open_checkpoint(write({"w": values}, tmp_path / "x", way))
    assert checkpoint.tensors["w"].is_floating
    assert checkpoint.tensors["w"].dtype == kind
    read = checkpoint.read("w")
    assert read.dtype == values.dtype
    assert torch.equal(read.double(), values.double())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("int8", "packed or quantised"),
        ("uint8", "packed"),
        ("bool", "mask"),
        ("complex64", "complex"),
    ],
)
def test_other_types_are_named(tmp_path, kind, reason, way):
    values = torch.ones(2, 2).to(getattr(torch, kind))
    checkpoint = open_checkpoint(write({"w": values}, tmp_path / "x", way))
    assert not checkpoint.tensors["w"].is_floating
    assert reason in checkpoint.tensors["w"].reason
    assert torch.equal(checkpoint.read("w"), values)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["zip", "legacy"])
def test_sparse_and_quantised_tensors_are_named(tmp_path, way):
    odd = {
        "s": torch.eye(3).to_sparse(),
        "q": torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
        "w": torch.eye(3),
    }
    checkpoint = open_checkpoint(write(odd, tmp_path / "x", way))
    assert [one.name for one in checkpoint.floating] == ["w"]
    assert {one.name for one in checkpoint.unreadable} == {"s", "q"}
    for name in "sq":
        assert checkpoint.tensors[name].shape == (3, 3)
        with pytest.raises(TensorError, match=f"Tensor {name} .* cannot be read"):
            checkpoint.read(name)


@pytest.mark.parametrize("way", ["zip", "legacy"])
def test_views_parameters_and_shared_storages(tmp_path, way):
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "whole": base,
        "rows": base[1:3],
        "columns": base[:, ::2],
        "turned": base.T,
        "parameter": torch.nn.Parameter(base[0]),
        "expanded": torch.ones(1, 3).expand(4, 3),
    }
    checkpoint = open_checkpoint(write(state, tmp_path / "x", way))
    for name, tensor in state.items():
        assert torch.equal(checkpoint.read(name), tensor)


def test_memory_maps_are_given_back(tmp_path):
    save_file({str(number): torch.ones(1 << 18) for number in range(8)}, tmp_path / "x")
    checkpoint = open_checkpoint(tmp_path / "x")
    first = checkpoint.read("0")
    first += 1  # a private copy: the file keeps its entries
    assert checkpoint.read("0")[0] == 1
    for name in checkpoint.tensors:
        checkpoint.read(name)
    del first
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not list the maps of a process")
    assert str(tmp_path / "x") not in maps.read_text()
