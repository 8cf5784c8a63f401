"""Zip archives of torch: their directory, their pickles, and what is said of a damaged one."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlgen_cli.checkpoints.pickles.machine import MOST_BYTES, UnknownNameError
from dlgen_cli.checkpoints.pickles.torch_names import (
    Storage,
    TypeName,
    find_script_class,
    read_tree,
)
from dlgen_cli.checkpoints.pickles.zip_directory import ZipDirectory
from dlgen_cli.checkpoints.stored import SourceFile, brief
from dlgen_cli.errors import CheckpointError

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
            f"{path} holds more than tensors: it needs {brief(str(error))}. dlgen never runs code "
            "from a checkpoint.",
            remedy="Save only the weights: torch.save(model.state_dict(), ...).",
        ) from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as a torch file ({brief(reason)}).",
            remedy="Check that it was copied in full.",
        ) from error


def read_archive(archive: ZipDirectory, file: SourceFile, entry: str = "data.pkl") -> Any:
    """Read one pickle of a zip file of torch.

    Args:
        archive: its directory.
        file: the file itself.
        entry: which pickle, without the folder that all entries stand in.

    Raises:
        ValueError: there is none, or it is damaged.
        UnknownNameError: it needs a function or class that is not on the list.
    """
    name = next((each for each in archive.entries if each.split("/")[-1] == entry), None)
    if name is None:
        raise ValueError(f"a zip file without {entry}: unpack it and pass the checkpoint inside")
    folder = name.removesuffix(entry)
    orders = archive.entries.get(f"{folder}byteorder")
    order = archive.read(orders.filename, 16) if orders else sys.byteorder.encode()
    if order not in _ORDERS:
        raise ValueError(f"the byte order {order!r}")
    data = entry.removesuffix(".pkl")

    def find_storage(key: str, kind: TypeName, size: int) -> Storage:
        offset, there = archive.locate(f"{folder}{data}/{key}")
        if there < size:
            raise ValueError(f"storage {brief(key)} has {there:,} bytes where {size:,} belong")
        swapped = _ORDERS[order] != sys.byteorder
        return Storage(kind=kind, size=size, file=file, offset=offset, swapped=swapped)

    find_other = find_script_class if is_script(archive) else None
    stream = io.BytesIO(archive.read(name, MOST_BYTES))
    return read_tree(stream, find_storage, find_other=find_other)


def archive_of(file: SourceFile) -> ZipDirectory | None:
    """The directory of a zip file; None for a legacy file."""
    return ZipDirectory(file) if file.read(0, 4) == b"PK\x03\x04" else None


def is_script(archive: ZipDirectory) -> bool:
    """Whether the archive is TorchScript's: it holds the constants of a program."""
    return any(name.split("/")[-1] == "constants.pkl" for name in archive.entries)
