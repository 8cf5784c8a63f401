"""Directories of ``torch.distributed.checkpoint``: each tensor in chunks, in the files of ranks.

``.metadata`` is a pickle of plain records; here they are read as bags of attributes. A chunk is a
torch file of one tensor, at an offset in a ``.distcp`` file.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors
from dlgen_cli.checkpoints.formats.detection import METADATA_FILE
from dlgen_cli.checkpoints.formats.sharded import inside
from dlgen_cli.checkpoints.pickles.archive import guarded, read_archive
from dlgen_cli.checkpoints.pickles.machine import MOST_BYTES, Bag
from dlgen_cli.checkpoints.pickles.torch_names import (
    Storage,
    TensorView,
    TypeName,
    read_tree,
)
from dlgen_cli.checkpoints.pickles.zip_directory import ZipDirectory
from dlgen_cli.checkpoints.state_dicts import NetworkParts, find_network
from dlgen_cli.checkpoints.stored import (
    MOST_TENSORS,
    SourceFile,
    StoredTensor,
    as_counts,
    as_shape,
    brief,
    sha256_of,
    why_unread,
)
from dlgen_cli.errors import CheckpointError

_NETWORKS = {"model", "state_dict", "module"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A block of a tensor.

    Attributes:
        corner: index of its first entry in the tensor.
        sizes: of its axes.
        file: holds it.
        start: offset of its torch file, in bytes.
        length: of its torch file, in bytes.
    """

    corner: tuple[int, ...]
    sizes: tuple[int, ...]
    file: SourceFile
    start: int
    length: int

    def load(self, dtype: str) -> torch.Tensor:
        """Map the block.

        Raises:
            ValueError: it is not the tensor that the metadata promise.
        """
        found = read_archive(ZipDirectory(self.file, self.start, self.length), self.file).tree
        block = found.place() if isinstance(found, TensorView) else None
        if block is None or block.shape != self.sizes or block.dtype != dtype:
            raise ValueError("a chunk is not what the metadata say")
        return block.load()


def open_distributed(path: Path, part: str | None = None) -> Checkpoint:
    """Open a directory of ``torch.distributed.checkpoint``; tensors come in the order of metadata.

    Raises:
        CheckpointError: the metadata are damaged or need code, chunks do not fill a tensor, or a
            file of a rank is missing or too short.
    """
    metadata = SourceFile.at(path / METADATA_FILE)
    found = guarded(metadata.path, lambda: _read_metadata(metadata))
    places = guarded(metadata.path, lambda: _places(found["storage_data"]))
    files = _open_files(path, {place["relative_path"] for place in places.values()})

    def describe() -> Any:
        tensors = {
            name: _tensor(name, record, places, files)
            for name, record in found["state_dict_metadata"].items()
            if "size" in record
        }
        return find_network(_nested(tensors), path, {}, part)

    parts: NetworkParts = guarded(metadata.path, describe)
    return Checkpoint(
        path=path,
        sha256=sha256_of(metadata.path, *(file.path for _, file in sorted(files.items()))),
        tensors=index_tensors(parts.network, path),
        reader=lambda name: parts.network[name].load(),
        notes=parts.notes,
        left_aside=parts.left_aside,
        not_understood=parts.not_understood,
    )


def _read_metadata(file: SourceFile) -> Bag:
    if file.size > MOST_BYTES:
        raise ValueError(f"{file.size:,} bytes; at most {MOST_BYTES:,} are read")

    def find_storage(_key: str, _kind: TypeName, _size: int) -> Storage:
        raise ValueError("a storage where there is to be none")

    found = read_tree(io.BytesIO(file.read(0, file.size)), find_storage)
    if not isinstance(found, Bag):
        raise TypeError("no metadata of torch.distributed.checkpoint")
    return found


def _places(storage_data: Any) -> dict[tuple[str, tuple[int, ...]], Mapping[str, Any]]:
    """Where each chunk lies, by the name of its tensor and its corner."""
    places = {}
    for index, place in storage_data.items():
        if not isinstance(place["relative_path"], str):
            raise TypeError("a chunk without a file")
        if place.get("transform_descriptors"):
            raise ValueError("its chunks are compressed or encrypted")
        if index.get("offset") is not None:
            places[index["fqn"], as_counts(index["offset"])] = place
    return places


def _open_files(path: Path, names: set[str]) -> dict[str, SourceFile]:
    files, missing = {}, []
    for name in sorted(names):
        target = inside(path, name, path / METADATA_FILE)
        try:
            files[name] = SourceFile.at(target)
        except FileNotFoundError:
            missing.append(name)
    if missing:
        raise CheckpointError(
            f"{len(missing)} of the {len(names)} files of {path} are missing, first "
            f"{brief(missing[0])}.",
            remedy="Copy the files of all ranks.",
        )
    return files


def _tensor(
    name: str,
    record: Mapping[str, Any],
    places: Mapping[tuple[str, tuple[int, ...]], Mapping[str, Any]],
    files: Mapping[str, SourceFile],
) -> StoredTensor:
    shape, count = as_shape(record["size"])
    dtype = _type_of(record["properties"]).name
    chunks = []
    if len(record["chunks"]) > MOST_TENSORS:
        raise ValueError(f"{brief(name)} has too many chunks")
    for one in record["chunks"]:
        corner, (sizes, _) = as_counts(one["offsets"]), as_shape(one["sizes"])
        place = places[name, corner]
        start, length = as_counts([place["offset"], place["length"]])
        file = files[place["relative_path"]]
        if start + length > file.size:
            raise ValueError(f"{file.path.name} ends before the chunks of {brief(name)}")
        if len(corner) != len(shape) or len(sizes) != len(shape):
            raise ValueError(f"a chunk of {brief(name)} has another number of axes")
        if any(a + b > c for a, b, c in zip(corner, sizes, shape, strict=True)):
            raise ValueError(f"a chunk of {brief(name)} does not lie in it")
        chunks.append(Chunk(corner=corner, sizes=sizes, file=file, start=start, length=length))
    if sum(as_shape(chunk.sizes)[1] for chunk in chunks) != count:
        raise ValueError(f"the chunks of {brief(name)} do not fill it")
    return StoredTensor(
        shape=shape,
        dtype=dtype,
        reason=why_unread(dtype),
        load=lambda: _assemble(shape, dtype, chunks),
    )


def _type_of(properties: Any) -> TypeName:
    """The type of entries; a record keeps it by name or as the first of its state."""
    kind = properties.get("dtype")
    if kind is None:
        kind = properties.listed[0][0]
    if not isinstance(kind, TypeName):
        raise TypeError("a tensor without a type")
    return kind


def _assemble(shape: tuple[int, ...], dtype: str, chunks: Sequence[Chunk]) -> torch.Tensor:

    if len(chunks) == 1:
        return chunks[0].load(dtype).reshape(shape)
    whole = torch.empty(shape, dtype=getattr(torch, dtype))
    if whole.is_floating_point():
        whole.fill_(torch.nan)  # an entry that no chunk covers must not go unseen
    for chunk in chunks:
        block = tuple(
            slice(corner, corner + size)
            for corner, size in zip(chunk.corner, chunk.sizes, strict=True)
        )
        whole[block] = chunk.load(dtype)
    return whole


def _nested(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """The names of a training's state taken apart at their dots: model, optimizer, …."""
    heads = {name.split(".", 1)[0] for name in tensors}
    if not all("." in name for name in tensors):
        return dict(tensors)
    tree: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        head, rest = name.split(".", 1)
        tree.setdefault(head, {})[rest] = tensor
    if heads & _NETWORKS:
        return {h: one if h in _NETWORKS else _nested(one) for h, one in tree.items()}
    if len(heads) == 1:  # such as app
        head, inside = next(iter(tree.items()))
        deeper = _nested(inside)
        if any(isinstance(one, dict) for one in deeper.values()):
            return {head: deeper}
    return dict(tensors)
