"""Every accepted file, told by content; every other in one clear line."""

import argparse
import io
import pickle
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.checkpoint import natural_key
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, TensorError

STATE = {
    "layers.0.weight": torch.arange(6.0).reshape(2, 3),
    "layers.2.weight": torch.ones(3, 2),
    "layers.10.weight": torch.full((1, 3), 2.0),
    "steps": torch.tensor(7),
}


def save_torch(tree, path, *, legacy=False):
    torch.save(tree, path, _use_new_zipfile_serialization=not legacy)
    return path


def names(checkpoint):
    return list(checkpoint.tensors)


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "bin", "jpg"])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_the_format_is_told_by_content(tmp_path, suffix, kind):
    path = tmp_path / f"model.{suffix}"
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        save_torch(STATE, path, legacy=kind == "legacy")
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == ("safetensors" if kind == "safetensors" else "torch")
    assert set(names(checkpoint)) == set(STATE)
    assert checkpoint.parameters == 6 + 6 + 3
    assert torch.equal(checkpoint.read("layers.0.weight"), STATE["layers.0.weight"])
    assert len(checkpoint.sha256) == 64


def test_safetensors_come_in_natural_order_and_torch_files_as_stored(tmp_path):
    save_file(STATE, tmp_path / "a")
    assert names(open_checkpoint(tmp_path / "a"))[:3] == [
        "layers.0.weight",
        "layers.2.weight",
        "layers.10.weight",
    ]
    stored = {"z": torch.ones(2, 2), "a": torch.ones(2, 2)}
    assert names(open_checkpoint(save_torch(stored, tmp_path / "b"))) == ["z", "a"]
    assert sorted(["x10", "x9", "x", "10", "9"], key=natural_key) == ["9", "10", "x", "x9", "x10"]


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_a_header_whose_length_looks_like_a_pickle_is_still_safetensors(tmp_path, length):
    path = tmp_path / "x"
    entry = b'{"w":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", length) + entry.ljust(length) + struct.pack("<f", 1.5))
    assert open_checkpoint(path).read("w").item() == 1.5


def test_absurd_numbers_in_names_and_headers_are_harmless(tmp_path):
    name = "layers." + "9" * 5000
    save_file(
        {name: torch.eye(2), "layers.1": torch.eye(2)}, tmp_path / "x", {"examples": "9" * 5000}
    )
    checkpoint = open_checkpoint(tmp_path / "x")
    assert names(checkpoint) == ["layers.1", name]
    assert checkpoint.examples is None


@pytest.mark.parametrize(
    ("tree", "left"),
    [
        ({"state_dict": STATE, "epoch": 3}, ""),
        ({"model": STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, "optimizer"),
        (
            {"model_state": STATE, "optimizer_state": {"m": torch.ones(9)}, "step": 1},
            "optimizer_state",
        ),
        ({"checkpoint": {"model_state_dict": STATE}}, ""),
        ({"state_dict": {f"module._orig_mod.{name}": t for name, t in STATE.items()}}, ""),
        ({f"_orig_mod.{name}": tensor for name, tensor in STATE.items()}, ""),
        ({"net": STATE, "ema": STATE, "lr": 0.1}, "ema"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_nested_and_prefixed_state_dicts_are_found(tmp_path, tree, left, legacy):
    checkpoint = open_checkpoint(save_torch(tree, tmp_path / "x.pt", legacy=legacy))
    assert set(names(checkpoint)) == set(STATE)
    assert torch.equal(checkpoint.read("layers.2.weight"), STATE["layers.2.weight"])
    assert left == " ".join(one.name for one in checkpoint.left_aside)


def test_several_networks_in_one_file_keep_their_names(tmp_path):
    tree = {"encoder": {"w": torch.ones(2, 2)}, "decoder": {"w": torch.ones(2, 2)}}
    checkpoint = open_checkpoint(save_torch(tree, tmp_path / "x.pt"))
    assert names(checkpoint) == ["encoder.w", "decoder.w"]


def test_a_sample_count_in_a_foreign_header_is_used(tmp_path):
    save_file({"w": torch.ones(2, 2)}, tmp_path / "x.safetensors", {"examples": "1234"})
    assert open_checkpoint(tmp_path / "x.safetensors").examples == 1234


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_named(tmp_path, bad):
    save_file({"fine": torch.ones(2, 2), "spoilt": torch.tensor([[1.0, bad]])}, tmp_path / "x")
    checkpoint = open_checkpoint(tmp_path / "x")
    checkpoint.read("fine")
    with pytest.raises(TensorError, match=r"spoilt.*1 NaN or infinite"):
        checkpoint.read("spoilt")


def a_zip(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_pkl", ".pkl"), content)
    return buffer.getvalue()


GARBAGE = {
    "empty": (b"", "is empty"),
    "text": (b"hello, this is no checkpoint", "is no checkpoint"),
    "png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "is no checkpoint"),
    "huge header": (struct.pack("<Q", 2**63) + b'{"a":1}' * 3, "header claims"),
    "broken header": (struct.pack("<Q", 9) + b'{"a": oops' + b" " * 30, "not a whole safetensors"),
    "a zip of photos": (a_zip(photo="x" * 100), "without data.pkl"),
    "half a zip": (a_zip(m__data_pkl="x" * 500)[:60], "directory at its end is missing"),
    "a pickle": (pickle.dumps([1, 2, 3], protocol=2), "cannot be read as a torch file"),
    "half a pickle": (b"\x80\x02}q", "cannot be read as a torch file"),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_what_is_no_checkpoint_ends_in_one_clear_line(tmp_path, kind):
    content, message = GARBAGE[kind]
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert "x.pt" in str(caught.value)


def test_a_truncated_safetensors_file_is_refused(tmp_path):
    save_file(STATE, tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="half"):
        open_checkpoint(tmp_path / "half")


class Call:
    """A pickle that would run code."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_in_a_checkpoint_ever_runs(tmp_path, legacy):
    target = tmp_path / "was-run"
    save_torch({"w": torch.ones(2, 2), "x": Call(target)}, tmp_path / "evil.pt", legacy=legacy)
    target.unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="never runs code"):
        open_checkpoint(tmp_path / "evil.pt")
    assert not target.exists()


def test_objects_beside_weights_are_inert(tmp_path):
    save_torch({"w": torch.ones(2, 2), "args": argparse.Namespace(x=1)}, tmp_path / "x.pt")
    assert names(open_checkpoint(tmp_path / "x.pt")) == ["w"]


def test_empty_and_missing(tmp_path):
    with pytest.raises(CheckpointError, match="no tensor"):
        open_checkpoint(save_torch({}, tmp_path / "x.pt"))
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="0 checkpoint files"):
        open_checkpoint(tmp_path.joinpath("folder").mkdir() or tmp_path / "folder")


def test_a_folder_with_one_checkpoint_is_that_checkpoint(tmp_path):
    save_file(STATE, tmp_path / "some.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "of another origin"}')
    assert open_checkpoint(tmp_path).format == "safetensors"
    save_file(STATE, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"2 checkpoint files"):
        open_checkpoint(tmp_path)


def test_a_tensor_is_read_only_when_it_is_asked_for(tmp_path):
    save_torch({"spoilt": torch.tensor([float("nan")]), "w": torch.ones(2, 2)}, tmp_path / "x.pt")
    assert torch.equal(open_checkpoint(tmp_path / "x.pt").read("w"), torch.ones(2, 2))
