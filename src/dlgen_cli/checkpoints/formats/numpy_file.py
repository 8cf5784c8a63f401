"""NumPy archives (.npz): a zip file with one array an entry, read where the arrays lie."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors
from dlgen_cli.checkpoints.formats.detection import ARRAY_SUFFIX
from dlgen_cli.checkpoints.pickles.archive import guarded
from dlgen_cli.checkpoints.pickles.arrays import ArrayType
from dlgen_cli.checkpoints.pickles.zip_directory import ZipDirectory, archive_of
from dlgen_cli.checkpoints.stored import (
    FLOATING,
    OTHERS,
    SourceFile,
    StoredTensor,
    dense,
    itemsize,
    sha256_of,
    unread,
)
from dlgen_cli.errors import CheckpointError

_MOST_HEADER = 1 << 16  # bytes


def open_numpy(path: Path) -> Checkpoint:
    """Open a NumPy archive; tensors come in the order of its entries.

    Raises:
        CheckpointError: it is damaged, or compressed.
    """
    file = SourceFile.at(path)

    def read() -> dict[str, StoredTensor]:
        archive = archive_of(file)
        if archive is None:
            raise ValueError("no zip archive")
        packed = any(one.compress_size != one.file_size for one in archive.entries.values())
        if packed:
            raise CheckpointError(
                f"{path} is a compressed NumPy archive (.npz).",
                remedy="Write it without compression: numpy.savez(FILE, **numpy.load(FILE)).",
            )
        return {
            name.removesuffix(ARRAY_SUFFIX): _array(file, archive, name) for name in archive.entries
        }

    tensors: dict[str, StoredTensor] = guarded(path, read)
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        tensors=index_tensors(tensors, path),
        reader=lambda name: tensors[name].load(),
    )


def _array(file: SourceFile, archive: ZipDirectory, name: str) -> StoredTensor:
    offset, size = archive.locate(name)
    header = io.BytesIO(file.read(offset, min(size, _MOST_HEADER)))
    version = np.lib.format.read_magic(header)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, is_fortran, kind = read(header)
    code = ArrayType(kind.str[1:], is_swapped=not kind.isnative)
    if code.name not in FLOATING and code.name not in OTHERS:
        return unread(shape, kind.str, f"an array of numpy's type {kind.str}")
    start, width = header.tell(), itemsize(code.name)
    strides, step = [], 1
    for length in shape if is_fortran else shape[::-1]:
        strides.append(step)
        step *= length
    if start + step * width != size:
        raise ValueError(f"an array of shape {shape} in {size - start:,} bytes")
    return dense(
        file,
        offset + start,
        code.name,
        shape,
        strides=strides if is_fortran else strides[::-1],
        swapped=code.is_swapped,
    )
