"""Zip archives of torch: their directory, their pickles, and what is said of a damaged one."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlgen_cli.checkpoints.pickles.machine import MOST_BYTES, UnknownNameError
from dlgen_cli.checkpoints.pickles.torch_names import Storage, TypeName, read_tree
from dlgen_cli.checkpoints.pickles.zip_directory import ZipDirectory
from dlgen_cli.checkpoints.stored import SourceFile, brief
from dlgen_cli.errors import CheckpointError

#: What is said of a file that ends too early.
_CUT = re.compile(
    r"exhausted|remain|not enough data|no newline|at its end|not all there|where .* belong"
    r"|storages in a file of|entries of shape .* at byte|fewer than its tensors"
)
_ORDERS = {b"little": "little", b"big": "big"}


def guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Run a reader, and say in one line what is wrong with the file.

    Raises:
        CheckpointError: the reader raised `ValueError` or the like.
    """
    try:
        return read()
    except UnknownNameError as error:
        raise CheckpointError(
            f"{path} holds more than tensors: it needs {brief(str(error))}, which acts on the "
            "machine. dlgen never runs code from a checkpoint.",
            remedy="Save only the weights: torch.save(model.state_dict(), ...).",
        ) from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        again = "save the weights again: torch.save(model.state_dict(), ...)."
        is_cut = _CUT.search(reason) is not None
        raise CheckpointError(
            f"{path} cannot be read as a torch file ({brief(reason)}).",
            remedy=f"Check that it was copied in full, or {again}" if is_cut else f"S{again[1:]}",
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What one pickle holds, with the storages that belong to it.

    Attributes:
        tree: as `read_tree` returns it.
        storages: by name, all that the file has for this pickle, whether it refers to them or not.
    """

    tree: Any
    storages: Mapping[str, Storage]


def read_archive(archive: ZipDirectory, file: SourceFile, entry: str = "data.pkl") -> Contents:
    """Read one pickle of a zip file of torch.

    Args:
        archive: its directory.
        file: the file itself.
        entry: which pickle, without the folder that all entries stand in.

    Raises:
        ValueError: there is none, or it is damaged.
        UnknownNameError: it calls a function that acts.
    """
    name = next((each for each in archive.entries if each.split("/")[-1] == entry), None)
    if name is None:
        raise ValueError(f"a zip file without {entry}: unpack it and pass the checkpoint inside")
    folder = name.removesuffix(entry)
    orders = archive.entries.get(f"{folder}byteorder")
    order = archive.read(orders.filename, 16) if orders else sys.byteorder.encode()
    if order not in _ORDERS:
        raise ValueError(f"the byte order {order!r}")
    swapped = _ORDERS[order] != sys.byteorder
    start = f"{folder}{entry.removesuffix('.pkl')}/"
    storages: dict[str, Storage] = {}

    def find_storage(key: str, kind: TypeName, size: int) -> Storage:
        offset, there = archive.locate(f"{start}{key}")
        if there < size:
            raise ValueError(f"storage {brief(key)} has {there:,} bytes where {size:,} belong")
        storage = Storage(f"{start}{key}", kind, there, file, offset, swapped)
        known = storages.setdefault(storage.name, storage)
        return known if known.kind == kind else storage

    stream = io.BytesIO(archive.read(name, MOST_BYTES))
    tree = read_tree(stream, find_storage)
    for each in archive.entries.values():
        if each.filename.startswith(start) and each.file_size and each.filename not in storages:
            storages[each.filename] = Storage(
                each.filename, TypeName("uint8"), each.file_size, file, None
            )
    return Contents(tree=tree, storages=storages)
