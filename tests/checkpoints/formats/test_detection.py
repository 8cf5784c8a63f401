"""Each format is told from all others by what its writers write."""

import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.formats import detection
from dlgen_cli.checkpoints.formats.registry import format_of

STATE = {"weight": torch.eye(2)}


def script(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/net.py"):
            archive.writestr(f"net/{name}", b"")


def arrays(path):
    with path.open("wb") as file:
        np.savez(file, weight=np.eye(2))


WRITERS = {
    "safetensors": lambda path: save_file(STATE, path),
    "numpy": arrays,
    "torchscript": script,
    "torch": lambda path: torch.save(STATE, path),
    "legacy": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "gguf": lambda path: path.write_bytes(b"GGUF\x03\x00\x00\x00"),
    "sharded": lambda path: path.write_text('\n {"weight_map": {}}'),
}
#: A TorchScript archive and one of arrays are zip archives, as those of torch are.
ALSO_TORCH = {"torchscript", "numpy"}


@pytest.mark.parametrize("kind", WRITERS)
def test_one_format_and_no_other(tmp_path, kind):
    path = tmp_path / "file"
    WRITERS[kind](path)
    name = "torch" if kind == "legacy" else kind
    questions = {
        "safetensors": detection.is_safetensors,
        "numpy": detection.is_numpy,
        "torchscript": detection.is_torchscript,
        "torch": detection.is_torch,
        "gguf": detection.is_gguf,
        "sharded": detection.is_index,
    }
    told = {one for one, question in questions.items() if question(path)}
    assert told == ({name, "torch"} if name in ALSO_TORCH else {name})
    assert format_of(path).name == name


def test_a_damaged_archive_is_none(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"PK\x03\x04 cut off")
    assert not detection.is_numpy(path)
    assert not detection.is_torchscript(path)
    assert detection.is_torch(path)


def test_directories(tmp_path, digits_mlp):
    assert detection.is_run_directory(digits_mlp)
    assert not detection.is_distributed(digits_mlp)
    (tmp_path / ".metadata").touch()
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "model.safetensors").touch()
    assert detection.is_distributed(tmp_path)
    assert not detection.is_run_directory(tmp_path)
