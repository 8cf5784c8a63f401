"""``torch.distributed.checkpoint`` directories, whole and in the chunks of several ranks."""

import io
import pickle

import pytest
import torch
from torch.distributed import checkpoint as distributed
from torch.distributed.checkpoint import metadata as records
from torch.distributed.checkpoint.filesystem import _StorageInfo

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, TensorError

STATE = {
    "a.weight": torch.arange(12.0).reshape(4, 3),
    "b.weight": torch.eye(3).bfloat16(),
    "steps": torch.tensor(7),
}


@pytest.mark.filterwarnings("ignore")
def test_what_torch_writes(tmp_path):
    distributed.save(STATE, checkpoint_id=tmp_path / "d", no_dist=True)
    checkpoint = open_checkpoint(tmp_path / "d")
    assert checkpoint.format == "distributed"
    assert set(checkpoint.tensors) == set(STATE)
    for name, tensor in STATE.items():
        assert torch.equal(checkpoint.read(name), tensor)


@pytest.mark.filterwarnings("ignore")
def test_the_state_of_the_optimizer_is_left_aside(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    distributed.save(state, checkpoint_id=tmp_path / "d", no_dist=True)
    checkpoint = open_checkpoint(tmp_path / "d")
    assert set(checkpoint.tensors) == {"weight", "bias"}
    assert torch.equal(checkpoint.read("weight"), model.weight)
    assert [one.name for one in checkpoint.left_aside] == ["optimizer"]


def write_chunks(folder, blocks, shape=(4, 3), **storage):
    """A tensor in chunks, each in the file of its rank: what several processes write."""
    folder.mkdir()
    chunks, places = [], {}
    for rank, (corner, block) in enumerate(blocks):
        data = io.BytesIO()
        torch.save(block, data)
        name = f"__{rank}_0.distcp"
        (folder / name).write_bytes(b"before" + data.getvalue())
        chunks.append(records.ChunkStorageMetadata(torch.Size(corner), block.shape))
        index = records.MetadataIndex("w", torch.Size(corner), rank)
        places[index] = _StorageInfo(
            **{"relative_path": name, "offset": 6, "length": len(data.getvalue())} | storage
        )
    properties = records.TensorProperties(dtype=torch.float32)
    tensor = records.TensorStorageMetadata(properties, torch.Size(shape), chunks)
    written = records.Metadata(state_dict_metadata={"w": tensor}, storage_data=places)
    (folder / ".metadata").write_bytes(pickle.dumps(written))
    return folder


WHOLE = torch.arange(12.0).reshape(4, 3)
BLOCKS = [
    ((0, 0), WHOLE[:1].clone()),
    ((1, 0), WHOLE[1:, :2].clone()),
    ((1, 2), WHOLE[1:, 2:].clone()),
]


def test_chunks_are_put_together(tmp_path):
    checkpoint = open_checkpoint(write_chunks(tmp_path / "d", BLOCKS))
    assert torch.equal(checkpoint.read("w"), WHOLE)


def test_chunks_that_do_not_fill_the_tensor(tmp_path):
    with pytest.raises(CheckpointError, match="do not fill it"):
        open_checkpoint(write_chunks(tmp_path / "gap", BLOCKS[:2]))
    with pytest.raises(CheckpointError, match="does not lie in it"):
        open_checkpoint(write_chunks(tmp_path / "out", [((1, 0), WHOLE)]))
    twice = [((0, 0), WHOLE[:2].clone()), ((1, 0), WHOLE[:2].clone())]
    with pytest.raises(TensorError, match=r"w in .* 3 NaN"):
        open_checkpoint(write_chunks(tmp_path / "twice", twice)).read("w")


def test_files_of_ranks_that_are_missing_or_cut(tmp_path):
    folder = write_chunks(tmp_path / "d", BLOCKS)
    (folder / "__1_0.distcp").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="ends before the chunks of w"):
        open_checkpoint(folder)
    (folder / "__1_0.distcp").unlink()
    with pytest.raises(CheckpointError, match=r"1 of the 3 files .* __1_0\.distcp"):
        open_checkpoint(folder)


def test_paths_outside_and_compressed_chunks(tmp_path):
    with pytest.raises(CheckpointError, match="outside its folder"):
        open_checkpoint(write_chunks(tmp_path / "a", BLOCKS, relative_path="../x"))
    with pytest.raises(CheckpointError, match="compressed"):
        open_checkpoint(write_chunks(tmp_path / "b", BLOCKS, transform_descriptors=["zstd"]))


def test_a_chunk_that_is_another_tensor(tmp_path):
    folder = write_chunks(tmp_path / "d", BLOCKS)
    first, second = folder / "__1_0.distcp", folder / "__2_0.distcp"
    size = max(one.stat().st_size for one in (first, second))
    content = second.read_bytes()
    second.write_bytes(first.read_bytes().ljust(size, b"\0"))
    first.write_bytes(content.ljust(size, b"\0"))
    with pytest.raises(CheckpointError, match=r"w of .* cannot be read"):
        open_checkpoint(folder).read("w")


def test_metadata_with_a_call(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / ".metadata").write_bytes(b"cos\nsystem\n(Vtouch was-run\ntR.")
    with pytest.raises(CheckpointError, match="never runs code"):
        open_checkpoint(folder)
    (folder / ".metadata").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="no metadata"):
        open_checkpoint(folder)
