"""Sharded checkpoints: read as one network, refused in one line where a part is missing."""

import hashlib
import json
import os

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError

PARTS = [
    {"layers.10.weight": torch.full((2, 2), 10.0), "layers.0.weight": torch.eye(2).bfloat16()},
    {"layers.2.weight": torch.arange(4.0).reshape(2, 2)},
]
WHOLE = PARTS[0] | PARTS[1]


def write(folder, *, torch_files=False, legacy=False):
    """Shards and their index, as Hugging Face writes them."""
    folder.mkdir(exist_ok=True)
    stem, suffix = ("pytorch_model", "bin") if torch_files else ("model", "safetensors")
    weight_map = {}
    for number, part in enumerate(PARTS, 1):
        name = f"{stem}-{number:05}-of-00002.{suffix}"
        weight_map |= dict.fromkeys(part, name)
        if torch_files:
            torch.save(part, folder / name, _use_new_zipfile_serialization=not legacy)
        else:
            save_file(part, folder / name)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 40}, "weight_map": weight_map}))
    return index


def rewrite(index, **changes):
    found = json.loads(index.read_text())
    found["weight_map"] |= changes
    index.write_text(json.dumps(found))


@pytest.mark.parametrize("torch_files", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("by_index", [False, True])
def test_shards_are_one_network(tmp_path, torch_files, legacy, by_index):
    index = write(tmp_path / "m", torch_files=torch_files, legacy=legacy)
    checkpoint = open_checkpoint(index if by_index else index.parent)
    assert checkpoint.format == "sharded"
    assert list(checkpoint.tensors) == ["layers.0.weight", "layers.2.weight", "layers.10.weight"]
    assert checkpoint.parameters == 12
    for name, tensor in WHOLE.items():
        assert torch.equal(checkpoint.read(name), tensor)
        assert checkpoint.read(name).dtype == tensor.dtype
    assert not checkpoint.left_aside


def test_the_digest_is_that_of_sha256sum(tmp_path):
    index = write(tmp_path / "m")
    shards = sorted(tmp_path.glob("m/*.safetensors"))
    lines = [f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}\n" for one in shards]
    assert open_checkpoint(index).sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_download_that_is_not_finished(tmp_path):
    index = write(tmp_path / "m")
    (tmp_path / "m" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"1 of the 2 shards .* model-00002-of-00002"):
        open_checkpoint(index)
    index.unlink()
    write(tmp_path / "m")
    index.unlink()
    with pytest.raises(CheckpointError, match=r"2 checkpoint files.*index\.json"):
        open_checkpoint(tmp_path / "m")


def test_a_shard_that_was_cut(tmp_path):
    index = write(tmp_path / "m")
    shard = tmp_path / "m" / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"00002-of-00002.*not a whole"):
        open_checkpoint(index)


def test_a_tensor_that_the_index_promises(tmp_path):
    index = write(tmp_path / "m")
    rewrite(index, **{"layers.3.weight": "model-00002-of-00002.safetensors"})
    with pytest.raises(CheckpointError, match=r"promises the tensor layers\.3\.weight"):
        open_checkpoint(index)


def test_a_name_of_two_lines_is_said_in_one(tmp_path):
    index = write(tmp_path / "m")
    rewrite(index, **{"a\nb": "model-00002-of-00002.safetensors"})
    with pytest.raises(CheckpointError, match=r"promises the tensor a\\nb") as caught:
        open_checkpoint(index)
    assert "\n" not in str(caught.value)


def test_a_tensor_that_the_index_does_not_know_is_left_aside(tmp_path):
    index = write(tmp_path / "m")
    found = json.loads(index.read_text())
    del found["weight_map"]["layers.10.weight"]
    index.write_text(json.dumps(found))
    checkpoint = open_checkpoint(index)
    assert list(checkpoint.tensors) == ["layers.0.weight", "layers.2.weight"]
    assert [one.name for one in checkpoint.left_aside] == ["layers.10.weight"]


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "C:\\x", "..\\x", "x\0y", "..", "/"],
)
def test_an_index_cannot_point_outside_its_folder(tmp_path, name):
    index = write(tmp_path / "m")
    save_file({"w": torch.eye(2)}, tmp_path / "x")
    rewrite(index, w=name)
    with pytest.raises(CheckpointError, match="outside its folder"):
        open_checkpoint(index)


def test_links_in_a_circle_and_links_of_a_cache(tmp_path):
    index = write(tmp_path / "m")
    shard = tmp_path / "m" / "model-00002-of-00002.safetensors"
    shard.rename(tmp_path / "blob")
    shard.symlink_to(tmp_path / "blob")
    assert open_checkpoint(index).parameters == 12
    shard.unlink()
    shard.symlink_to(shard.name)
    with pytest.raises(CheckpointError, match="in a circle"):
        open_checkpoint(index)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "no weight_map"),
        ('{"weight_map": {}}', "no weight_map"),
        ('{"weight_map": {"w": 3}}', "names no files"),
        ('{"weight_map": {"w": ""}}', "names no files"),
        ('{"weight_map": {"w": "a", "w": "b"}}', "twice"),
        ('{"weight_map": {"\\ud800": "a"}}', "no index"),
        ('{"weight_map": {"w": "\\ud800"}}', "no index"),
        ('{"weight_map": ' * 50_000, "deep"),
        ("{ no JSON", "no index"),
        (
            '{"weight_map": {"w": "model.safetensors.index.json"}}',
            "safetensors or a torch file was expected",
        ),
    ],
)
def test_what_is_no_index(tmp_path, text, reason):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=reason) as caught:
        open_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_of_the_usual_layout(tmp_path):
    state = {"w": torch.eye(3)}
    torch.save({"w": torch.ones(3, 3)}, tmp_path / "pytorch_model.bin")
    torch.save({"lr": 1}, tmp_path / "training_args.bin")
    torch.save({"state": {0: torch.ones(9)}}, tmp_path / "optimizer.pt")
    (tmp_path / "config.json").write_text("{}")
    assert torch.equal(open_checkpoint(tmp_path).read("w"), torch.ones(3, 3))
    save_file(state, tmp_path / "model.safetensors")
    assert torch.equal(open_checkpoint(tmp_path).read("w"), torch.eye(3))


def test_a_folder_of_too_many_files(tmp_path):
    for number in range(1_001):
        os.close(os.open(tmp_path / str(number), os.O_CREAT))
    with pytest.raises(CheckpointError, match="more than 1,000"):
        open_checkpoint(tmp_path)
