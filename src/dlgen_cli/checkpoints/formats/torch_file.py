"""Torch files, zip and legacy: their pickles are read as data, and no code runs."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors
from dlgen_cli.checkpoints.formats.signatures import other_zip
from dlgen_cli.checkpoints.pickles.archive import Contents, guarded, read_archive
from dlgen_cli.checkpoints.pickles.machine import MOST_BYTES
from dlgen_cli.checkpoints.pickles.torch_names import (
    Storage,
    StorageView,
    TypeName,
    read_tree,
)
from dlgen_cli.checkpoints.pickles.zip_directory import archive_of
from dlgen_cli.checkpoints.state_dicts import NetworkParts, find_network
from dlgen_cli.checkpoints.stored import HeldBytes, SourceFile, as_counts, brief, sha256_of
from dlgen_cli.checkpoints.tree import collect
from dlgen_cli.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = _MAGIC.to_bytes(10, "little")
_PROTOCOL = 1001
_MOST_PICKLE = 1 << 32  # bytes of a plain pickle, which is read whole
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def load_tree(path: Path) -> Contents:
    """Read what a torch file holds; entries of tensors stay on disk.

    Returns:
        A tree of dictionaries and lists with a `torch_names.Leaf` for each tensor, and the
        storages of the file; a TorchScript archive is the tree of its modules.

    Raises:
        CheckpointError: the file is damaged or needs code to load.
    """
    file = SourceFile.at(path)

    def read() -> Contents:
        archive = archive_of(file)
        if archive is None:
            return _read_legacy(file)
        if not any(name.split("/")[-1] == "data.pkl" for name in archive.entries):
            what, remedy = other_zip(list(archive.entries))
            raise CheckpointError(f"{path} {what}; a torch file was expected.", remedy=remedy)
        return read_archive(archive, file)

    contents: Contents = guarded(path, read)
    return contents


def open_torch(path: Path, part: str | None = None) -> Checkpoint:
    """Open a torch file; tensors come in the order in which they lie.

    Args:
        path: the file.
        part: dotted keys of the part that the user chose.

    Raises:
        CheckpointError: it is damaged or needs code to load, or there is no state dict in it.
    """
    contents = load_tree(path)
    parts: NetworkParts = guarded(
        path, lambda: find_network(contents.tree, path, contents.storages, part)
    )
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        tensors=index_tensors(parts.network, path),
        reader=lambda name: parts.network[name].load(),
        notes=parts.notes,
        left_aside=parts.left_aside,
        not_understood=parts.not_understood,
    )


def _read_legacy(file: SourceFile) -> Contents:
    """A file of torch before 1.6: five pickles one after another, then the storages."""
    if _MAGIC_BYTES not in file.read(0, 32):
        return _plain_pickle(file)
    return _read_storages(file)


def _read_storages(file: SourceFile | HeldBytes) -> Contents:
    stream = io.BytesIO(file.read(0, MOST_BYTES))
    storages: dict[str, Storage] = {}

    def find_storage(key: str, kind: TypeName, size: int) -> Storage:
        storage = Storage(f"storage {key}", kind, size, file, None, swapped)
        return storages.setdefault(key, storage)

    swapped = False
    if _read_plain(stream) != _MAGIC:
        raise ValueError("no file of torch")
    if _read_plain(stream) != _PROTOCOL:
        raise ValueError("an unknown version of the legacy format")
    system = _read_plain(stream)
    swapped = system.get("little_endian", True) != (sys.byteorder == "little")
    tree = read_tree(stream, find_storage)
    at = _place_storages(file, storages, _read_plain(stream), stream.tell())
    if at > file.size:
        raise ValueError(f"{at:,} bytes of storages in a file of {file.size:,}")
    return Contents(tree=tree, storages={one.name: one for one in storages.values()})


def _plain_pickle(file: SourceFile) -> Contents:
    """A pickle of arrays, as model zoos keep them, or of tensors as ``pickle.dump`` has them."""
    if file.size > _MOST_PICKLE:
        raise CheckpointError(
            f"{file.path} is a plain pickle of {file.size:,} bytes; at most {_MOST_PICKLE:,} are "
            "read, as all of it must be in memory.",
            remedy="Save the weights with torch.save(model.state_dict(), ...).",
        )
    storages: dict[str, Storage] = {}

    def read_bytes(data: bytes) -> StorageView:
        at = len(storages)
        held = _read_storages(HeldBytes(Path(f"pickled bytes {at}"), data))
        if not isinstance(held.tree, StorageView):
            raise TypeError("bytes of a storage that hold none")
        for one in held.storages.values():
            one.name = f"pickled storage {len(storages)}"
            storages[one.name] = one
        return held.tree

    tree = read_tree(io.BytesIO(file.read(0, file.size)), _no_storage, read_bytes)
    if not collect(tree):
        raise CheckpointError(
            f"{file.path} cannot be read as a torch file: it is a pickle that holds {brief(tree)} "
            "without tensors or arrays.",
            remedy="Save the weights with torch.save(model.state_dict(), ...).",
        )
    return Contents(tree=tree, storages=storages)


def _no_storage(_key: str, _kind: TypeName, _size: int) -> Storage:
    raise ValueError("a storage where there is to be none")


def _read_plain(stream: io.BytesIO) -> Any:
    return read_tree(stream, _no_storage)


def _place_storages(
    file: SourceFile | HeldBytes, storages: dict[str, Storage], keys: Any, at: int
) -> int:
    """Each storage is a count of entries in eight bytes, then the entries; returns the end."""
    for key in keys:
        storage = storages[key]
        is_big = storage.swapped != (sys.byteorder == "big")
        found = int.from_bytes(file.read(at, 8), "big" if is_big else "little")
        (count,) = as_counts([found])
        if count * storage.kind.width < storage.size:
            raise ValueError(f"storage {brief(key)} has {count:,} entries, fewer than its tensors")
        storage.offset, storage.size = at + 8, count * storage.kind.width
        at = storage.offset + storage.size
    return at
