"""Where the weights of a path are, told without reading them."""

import json

import pytest
import torch
from safetensors.torch import save

from dlgen_cli.checkpoints.location import locate
from dlgen_cli.errors import CheckpointError

WEIGHTS = save({"weight": torch.eye(2)})


def found(path):
    location = locate(path)
    return location.path, location.format.name, location.shown


def test_a_file_and_the_only_file_of_a_directory(tmp_path):
    file = tmp_path / "weights.bin"
    file.write_bytes(WEIGHTS)
    (tmp_path / "README.md").write_text("# Weights")
    assert found(file) == (file, "safetensors", file)
    assert found(tmp_path) == (file, "safetensors", file)


def test_the_file_that_is_usual_comes_first(tmp_path):
    for name in ("model.safetensors", "other.safetensors"):
        (tmp_path / name).write_bytes(WEIGHTS)
    assert found(tmp_path)[0] == tmp_path / "model.safetensors"


def test_a_directory_of_shards_is_shown_as_itself(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"weight": "one.safetensors"}}))
    assert found(tmp_path) == (index, "sharded", tmp_path)


def test_a_run_is_its_directory(digits_mlp):
    assert found(digits_mlp) == (digits_mlp, "run", digits_mlp)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "No such file"),
        ("notes", "is no checkpoint"),
        ("nothing", "is empty"),
        (".", "checkpoint files"),
        ("circle", "symbolic link in a circle"),
    ],
)
def test_what_is_no_checkpoint(tmp_path, name, message):
    (tmp_path / "notes").write_text("The weights are elsewhere.")
    (tmp_path / "nothing").touch()
    if name == "circle":
        (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(CheckpointError, match=message):
        locate(tmp_path / name)
