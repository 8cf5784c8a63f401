"""Files of other kinds are called by name, and nothing is said to be missing from a whole one."""

import io
import json
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


def tarred(*names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def raw_safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ENTRY = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}
OTHERS = {
    "Keras": zipped(metadata_dot_json="{}", config_dot_json="{}", model_dot_weights_dot_h5="x"),
    "torch.export": zipped(x__models__model_dot_json="{}"),
    "zip archive around": zipped(model_dot_pth="x"),
    "NeMo": tarred("./model_config.yaml", "./model_weights.ckpt"),
    "tar archive": tarred("a/model.safetensors"),
    "web page": b"\n<!DOCTYPE html><html>",
    r"NumPy array \(.npy\)": b"\x93NUMPY\x01\x00" + bytes(70),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(70),
    "gzip": b"\x1f\x8b\x08" + bytes(70),
    "msgpack": b"\x82\xa6params\x81\xa1w" + bytes(70),
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "URL": b"https://example.org/model.pt\n",
    "a pickle that holds": pickle.dumps({"a": 1}, protocol=4),
    "protocol before 2": pickle.dumps({"a": 1}, protocol=0),
    "metadata": raw_safetensors({"__metadata__": {"n": 3}, "a": ENTRY}, bytes(4)),
    "byte": raw_safetensors({"a": ENTRY}, bytes(9)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_called_by_name(tmp_path, kind):
    (tmp_path / "x").write_bytes(OTHERS[kind])
    with pytest.raises(CheckpointError, match=kind) as caught:
        open_checkpoint(tmp_path / "x")
    assert "copied in full" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_archives_and_pickles_of_arrays_are_read(tmp_path):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6.0, dtype="f").reshape(2, 3)),
        "c": np.arange(4, dtype=">f8"),
        "d": np.float32(3),
    }
    np.savez(tmp_path / "x.npz", **arrays)
    found = [tmp_path / "x.npz"]
    for protocol in (2, 3, 4, 5):
        found.append(tmp_path / f"{protocol}.pkl")
        found[-1].write_bytes(pickle.dumps({"model": arrays}, protocol=protocol))
    for path in found:
        checkpoint = open_checkpoint(path)
        for name, array in arrays.items():
            assert checkpoint.read(name).tolist() == array.tolist()
    np.savez_compressed(tmp_path / "y.npz", a=np.zeros((99, 99)))
    with pytest.raises(CheckpointError, match="compressed NumPy archive"):
        open_checkpoint(tmp_path / "y.npz")


def test_folders_name_what_holds_weights(tmp_path):
    state = {"w": torch.ones(2, 2)}
    for part in ("unet", "vae"):
        (tmp_path / "pipe" / part).mkdir(parents=True)
        save_file(state, tmp_path / "pipe" / part / "model.safetensors")
    with pytest.raises(CheckpointError, match="unet, vae"):
        open_checkpoint(tmp_path / "pipe")
    save_file({"w": torch.zeros(2, 2)}, tmp_path / "pipe" / "vae" / "x.fp16.safetensors")
    save_file(state, tmp_path / "pipe" / "vae" / "x.safetensors")
    (tmp_path / "pipe" / "vae" / "model.safetensors").unlink()
    assert open_checkpoint(tmp_path / "pipe" / "vae").read("w").sum() == 4
    step = tmp_path / "global_step5"
    step.mkdir()
    torch.save({"module": state}, step / "mp_rank_00_model_states.pt")
    torch.save({"optimizer_state_dict": {"m": torch.ones(4)}}, step / "zero_0_optim_states.pt")
    assert open_checkpoint(step).read("w").sum() == 4
