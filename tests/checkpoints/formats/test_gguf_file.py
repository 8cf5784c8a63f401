"""GGUF files against the reader and the dequantisers of the gguf package."""

import builtins
import struct

import numpy as np
import pytest
import torch

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, DependencyError, TensorError

HEADER = b"GGUF" + struct.pack("<I", 3)
VALUES = np.random.default_rng(0).normal(size=(6, 256)).astype(np.float32)


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "gguf":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "x").write_bytes(HEADER + bytes(16))
    with pytest.raises(DependencyError, match=r"pip install 'dlgen\[gguf\]'"):
        open_checkpoint(tmp_path / "x")


@pytest.fixture
def gguf():
    return pytest.importorskip("gguf")


def write(gguf, path, tensors, **facts):
    """Tensors by name: float arrays, or a pair of packed bytes and their type."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "c"])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5])
    for name, value in facts.items():
        writer.add_uint32(name.replace("_", "."), value)
    for name, tensor in tensors.items():
        data, kind = tensor if isinstance(tensor, tuple) else (tensor, None)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_plain_types_are_read_as_they_are(gguf, tmp_path):
    bfloat = gguf.quants.quantize(VALUES, gguf.GGMLQuantizationType.BF16)
    tensors = {
        "blk.10.weight": VALUES,
        "blk.2.weight": VALUES.astype(np.float16),
        "double": VALUES[:, :32].astype(np.float64),
        "bfloat": (bfloat, gguf.GGMLQuantizationType.BF16),
        "kernel": VALUES.reshape(6, 4, 64),
        "ids": np.arange(4, dtype=np.int32),
    }
    checkpoint = open_checkpoint(write(gguf, tmp_path / "x.gguf", tensors))
    assert checkpoint.format == "gguf"
    assert list(checkpoint.tensors) == [
        "bfloat",
        "blk.2.weight",
        "blk.10.weight",
        "double",
        "ids",
        "kernel",
    ]
    for name, tensor in tensors.items():
        if name == "bfloat":
            assert torch.equal(checkpoint.read(name), torch.from_numpy(VALUES).bfloat16())
        else:
            assert torch.equal(checkpoint.read(name), torch.from_numpy(tensor))
    assert not checkpoint.tensors["ids"].is_floating
    assert not checkpoint.notes


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q6_K", "IQ4_NL"])
def test_quantised_matrices_are_those_that_they_stand_for(gguf, tmp_path, name):
    kind = gguf.GGMLQuantizationType[name]
    entries, width = gguf.GGML_QUANT_SIZES[kind]
    dice = np.random.default_rng(1)
    packed = dice.integers(0, 40, size=(6, 256 // entries * width), dtype=np.uint8)
    checkpoint = open_checkpoint(write(gguf, tmp_path / "x.gguf", {"w": (packed, kind)}))
    assert checkpoint.tensors["w"].shape == (6, 256)
    assert checkpoint.tensors["w"].dtype == name
    expected = torch.from_numpy(gguf.dequantize(packed, kind))
    assert torch.equal(checkpoint.read("w"), expected)
    assert checkpoint.notes == (f"dequantised: {name}",)


def test_types_that_the_package_cannot_dequantise_are_named(gguf, tmp_path):
    kind = gguf.GGMLQuantizationType.Q8_K
    entries, width = gguf.GGML_QUANT_SIZES[kind]
    packed = np.zeros((2, 256 // entries * width), np.uint8)
    path = write(gguf, tmp_path / "x.gguf", {"v": VALUES, "w": (packed, kind)})
    checkpoint = open_checkpoint(path)
    assert not checkpoint.tensors["w"].is_floating
    with pytest.raises(TensorError, match="Q8_K: the gguf package cannot dequantise"):
        checkpoint.read("w")


def test_a_part_of_several_is_no_whole_file(gguf, tmp_path):
    path = write(gguf, tmp_path / "x.gguf", {"w": VALUES}, split_count=3)
    with pytest.raises(CheckpointError, match="one of 3 parts"):
        open_checkpoint(path)


def a_tensor(name=b"w", sizes=(4,), kind=0, offset=0):
    dimensions = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
    return struct.pack("<Q", len(name)) + name + dimensions + struct.pack("<IQ", kind, offset)


def a_file(tensors=b"", *, count=1, keys=0, facts=b"", data=bytes(64)):
    header = HEADER + struct.pack("<2Q", count, keys) + facts + tensors
    return header + bytes(-len(header) % 32) + data


def a_fact(kind, value):
    return struct.pack("<Q", 1) + b"k" + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(16), "version 1"),
        (a_file(count=2**63), "at most 250,000"),
        (a_file(keys=2**63), "ends too early|kind"),
        (a_file(facts=a_fact(8, struct.pack("<Q", 2**63)), keys=1), "ends too early"),
        (a_file(facts=a_fact(9, struct.pack("<IQ", 0, 2**62)), keys=1), "ends too early"),
        (a_file(facts=a_fact(9, struct.pack("<IQ", 9, 2**62) * 9), keys=1), "kind 9"),
        (
            a_file(facts=a_fact(9, struct.pack("<IQ", 9, 2**62) + bytes(30_000_000)), keys=1),
            "values",
        ),
        (a_file(facts=a_fact(99, b""), keys=1), "kind 99"),
        (a_file(a_tensor(sizes=(2**62, 4))), "too many entries"),
        (a_file(a_tensor(sizes=(2**63,))), "a size was expected"),
        (a_file(a_tensor(sizes=(2**40,))), "ends at byte"),
        (a_file(a_tensor(sizes=(1,) * 9)), "9 axes"),
        (a_file(a_tensor(kind=200)), "200"),
        (a_file(a_tensor(kind=2, sizes=(33,))), "blocks of 32"),
        (a_file(a_tensor(offset=2**63)), "a size was expected"),
        (a_file(a_tensor() * 2, count=2), "twice"),
        (a_file(a_tensor() + a_tensor(b"v", offset=8), count=2), "overlap"),
    ],
)
@pytest.mark.usefixtures("gguf")
def test_headers_that_lie(tmp_path, content, reason):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        open_checkpoint(tmp_path / "x")


@pytest.mark.usefixtures("gguf")
def test_the_header_of_the_previous_test_is_read_where_it_tells_the_truth(tmp_path):
    (tmp_path / "x").write_bytes(a_file(a_tensor(), data=struct.pack("<4f", 1, 2, 3, 4)))
    assert open_checkpoint(tmp_path / "x").read("w").tolist() == [1, 2, 3, 4]
