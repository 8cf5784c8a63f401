"""Where the entries of a tensor lie in a file, and how they are read: one range at a time.

A reader describes each tensor as a `StoredTensor`. Its bytes are mapped when it is loaded and
unmapped with the tensor that was loaded, so that memory holds what is in use and no more.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import stat
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dlgen_cli.errors import CheckpointError

if TYPE_CHECKING:
    import torch

#: Bytes of each real floating-point type that can be read, by torch's name.
FLOATING = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
}
#: Bytes of each other type, by torch's name.
OTHERS = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "uint32": 4,
    "int32": 4,
    "uint64": 8,
    "int64": 8,
    "float8_e8m0fnu": 1,
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
}
#: Tensors that one checkpoint may name.
MOST_TENSORS = 250_000
_MOST_ENTRIES = 1 << 62
_MOST_AXES = 64
_EXPANDED_ENTRIES = 1 << 20  # a view may repeat the entries of its storage up to this size
_SPARSE_FILE = 1 << 30  # bytes; below, holes do no harm
_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor that has not been read.

    Attributes:
        shape: sizes of its axes.
        dtype: torch's name of its type, or the format's own where torch has none.
        reason: why it cannot be read as real floating-point numbers; empty where it can.
        load: reads it, on the CPU and in its stored type.
        place: where its entries lie; equal for tensors that share them, None where not known.
        entries: stored entries that it reaches and that nothing named before it does; None for
            all of its own.
        is_buffer: whether the file says that it is a buffer of a module, no parameter.
    """

    shape: tuple[int, ...]
    dtype: str
    reason: str
    load: Callable[[], torch.Tensor]
    place: Hashable = None
    entries: int | None = None
    is_buffer: bool = False


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file, as it was when it was opened.

    Attributes:
        path: where it is.
        size: in bytes.
        modified: time of the last change in nanoseconds.
    """

    path: Path
    size: int
    modified: int

    @classmethod
    def at(cls, path: Path) -> SourceFile:
        """Look at a file without reading it.

        Raises:
            CheckpointError: it is empty, no regular file, or nothing but a hole.
            OSError: it is not there.
        """
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(
                f"{path} is no regular file; a file with weights was expected.",
                remedy="Copy the weights to a file.",
            )
        if not found.st_size:
            raise CheckpointError(f"{path} is empty.", remedy="Check that it was copied in full.")
        on_disk = getattr(found, "st_blocks", 0) * 512
        if found.st_size > _SPARSE_FILE and 0 < on_disk < found.st_size // 100:
            raise CheckpointError(
                f"{path} claims {found.st_size:,} bytes, of which the disk holds {on_disk:,}: the "
                "rest was never written.",
                remedy="Check that it was copied in full.",
            )
        return cls(path=path, size=found.st_size, modified=found.st_mtime_ns)

    def read(self, offset: int, count: int) -> bytes:
        """Read bytes; fewer where the file ends."""
        if offset >= self.size:
            return b""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def map(self, offset: int, count: int) -> memoryview:
        """Map a range of the file, so that pages are read when they are used.

        Args:
            offset: of the first byte.
            count: of bytes, at least 1.

        Returns:
            Writable memory whose changes never reach the file.

        Raises:
            CheckpointError: the file has changed since it was opened.
        """
        with self.path.open("rb") as file:
            now = os.fstat(file.fileno())
            if (now.st_size, now.st_mtime_ns) != (self.size, self.modified):
                raise CheckpointError(
                    f"{self.path} was changed while it was read.", remedy="Run the audit again."
                )
            start = offset - offset % mmap.ALLOCATIONGRANULARITY
            length = offset + count - start
            mapped = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY, offset=start)
        return memoryview(mapped)[offset - start :]


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes in memory that are read like a file.

    Attributes:
        path: what they are called; no file of this name is looked for.
        data: the bytes.
    """

    path: Path
    data: bytes

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.data)

    def read(self, offset: int, count: int) -> bytes:
        """A part of them; less where they end."""
        return self.data[offset : offset + count]

    def map(self, offset: int, count: int) -> memoryview:
        """A writable copy of a part."""
        return memoryview(bytearray(self.data[offset : offset + count]))


def sha256_of(*paths: Path) -> str:
    """Digest of a file; of several, that of the lines which ``sha256sum`` prints for their names.

    Raises:
        OSError: a file cannot be read.
    """
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    lines = [f"{digest}  {path.name}\n" for digest, path in zip(digests, paths, strict=True)]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def dense(
    file: SourceFile | HeldBytes,
    offset: int,
    dtype: str,
    shape: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    swapped: bool = False,
) -> StoredTensor:
    """A tensor whose entries lie in a file as they are.

    Args:
        file: holds them.
        offset: of the first entry, in bytes.
        dtype: torch's name of a type in `FLOATING` or `OTHERS`.
        shape: sizes of its axes.
        strides: in entries; None where they are contiguous, the last axis fastest.
        swapped: the bytes of an entry stand in the other order than on this machine.

    Raises:
        ValueError: sizes or strides are impossible, or the file ends before the last entry.
    """
    sizes, count = as_shape(shape)
    width = itemsize(dtype)
    extent = count if strides is None else _extent(sizes, strides)
    if not 0 <= offset <= offset + extent * width <= file.size:
        raise ValueError(f"entries of shape {sizes} at byte {offset} of {file.size:,}")
    reason = why_unread(dtype)
    if count > max(extent, _EXPANDED_ENTRIES):
        reason = f"a view of {count:,} entries on {extent:,} stored ones"

    def load() -> torch.Tensor:
        import torch  # what a file is gets told without it

        kind = getattr(torch, dtype)
        if not count:
            return torch.empty(sizes, dtype=kind)
        raw = torch.frombuffer(file.map(offset, extent * width), dtype=torch.uint8)
        if swapped and width > 1:
            raw = raw.view(-1, width).flip(1).reshape(-1)
        elif raw.data_ptr() % width:
            raw = raw.clone()  # entries must be aligned
        flat = raw.view(kind)
        return flat.view(sizes) if strides is None else flat.as_strided(sizes, tuple(strides))

    place = (str(file.path), offset, dtype, None if strides is None else tuple(strides))
    return StoredTensor(shape=sizes, dtype=dtype, reason=reason, load=load, place=place)


def unread(shape: Sequence[int], dtype: str, reason: str) -> StoredTensor:
    """A tensor that is named but cannot be read.

    Raises:
        ValueError: the shape is impossible.
    """

    def load() -> torch.Tensor:
        raise ValueError(reason)

    return StoredTensor(shape=as_shape(shape)[0], dtype=dtype, reason=reason, load=load)


def why_unread(dtype: str) -> str:
    """Why a type is not read as real numbers; empty where it is."""
    if dtype in FLOATING:
        return ""
    if dtype.startswith("complex"):
        return f"{dtype}: complex entries"
    if dtype == "bool":
        return "bool: a mask"
    if dtype == "float8_e8m0fnu":
        return f"{dtype}: the scales of packed entries"
    return f"{dtype}: integers, which may be packed or quantised weights of unknown scale"


def itemsize(dtype: str) -> int:
    """Bytes of one entry.

    Raises:
        ValueError: the type is not known.
    """
    width = FLOATING.get(dtype) or OTHERS.get(dtype)
    if width is None:
        raise ValueError(f"the type {brief(dtype)} is not known")
    return width


def as_counts(values: Sequence[int]) -> tuple[int, ...]:
    """Whole numbers from 0 on that memory can hold, checked.

    Raises:
        ValueError: one of them is not, or they are too many.
    """
    if not isinstance(values, list | tuple) or len(values) > _MOST_AXES:
        raise ValueError(f"{brief(values)} where sizes were expected")
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_ENTRIES:
            raise ValueError(f"{brief(value)} where a size was expected")
    return tuple(values)


def as_shape(sizes: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """A shape and its number of entries, checked.

    Raises:
        ValueError: a size is no whole number or negative, or there are too many entries.
    """
    shape = as_counts(sizes)
    if math.prod(size for size in shape if size) > _MOST_ENTRIES:
        raise ValueError(f"the shape {brief(sizes)} has too many entries")
    return shape, math.prod(shape)


def _extent(sizes: tuple[int, ...], strides: Sequence[int]) -> int:
    """Entries from the first to the last, both included."""
    if len(as_counts(strides)) != len(sizes):
        raise ValueError(f"strides {brief(strides)} for the shape {brief(sizes)}")
    if 0 in sizes:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))


def is_text(value: object) -> bool:
    """Whether a value is Unicode text: a lone surrogate cannot be printed."""
    try:
        return isinstance(value, str) and bool(value.encode() or not value)
    except UnicodeEncodeError:
        return False


def brief(value: object) -> str:
    """What was found, short enough for a message and on one line."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, list | tuple):
        if len(value) > 8 or not all(isinstance(each, str | int | float) for each in value):
            return f"a list of {len(value):,}"
        return f"({', '.join(brief(each) for each in value)})"
    if value is not None and not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    text = str(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )
