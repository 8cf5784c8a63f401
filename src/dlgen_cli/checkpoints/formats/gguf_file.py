"""GGUF files: a header of our own reading, and the types and dequantisers of the gguf package.

A quantised matrix is read as the one that it stands for, entry by entry as the package computes it
in float32: the matrix that a runtime multiplies by.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors, natural_key
from dlgen_cli.checkpoints.stored import (
    MOST_TENSORS,
    SourceFile,
    StoredTensor,
    as_counts,
    as_shape,
    brief,
    dense,
    sha256_of,
    unread,
)
from dlgen_cli.errors import CheckpointError, DependencyError

#: Bytes of a header, and values in it that are read one by one.
_MOST_HEADER = 1 << 26
_MOST_VALUES = 1_500_000
_ARRAY_COST = 100
_MOST_LEVELS = 4
_VERSIONS = {2, 3}
_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_PLAIN = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
}
_PART = 1 << 22  # entries dequantised at once


@dataclass(slots=True)
class _Header:
    """What is read of a header from its start; no read goes beyond its bytes."""

    data: bytes
    at: int = 0
    values: int = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise ValueError("the header ends too early")
        found = self.data[self.at : end]
        self.at = end
        return found

    def number(self, code: str) -> Any:
        (value,) = struct.unpack(f"<{code}", self.take(struct.calcsize(code)))
        return value

    def spend(self, cost: int = 1) -> None:
        self.values += cost
        if self.values > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES:,} values")

    def string(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "backslashreplace")

    def value(self, kind: int, level: int = 0) -> Any:
        """A number or a string; an array is passed over."""
        self.spend()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY or level == _MOST_LEVELS:
            raise ValueError(f"a value of kind {kind}")
        inner, count = self.number("I"), self.number("Q")
        self.spend(_ARRAY_COST)
        if inner in _SCALARS:
            self.take(count * struct.calcsize(_SCALARS[inner]))
            return None
        for _ in range(count):
            self.value(inner, level + 1)
        return None


def open_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file; tensors come in the natural order of their names.

    Raises:
        CheckpointError: the file is damaged, or one part of several.
        DependencyError: the gguf package is not installed.
    """
    package = _package()
    file = SourceFile.at(path)
    try:
        stored, facts = _read(file, package)
    except (ValueError, TypeError, struct.error) as error:
        raise CheckpointError(
            f"{path} is not a whole GGUF file ({brief(' '.join(str(error).split()))}).",
            remedy="Check that it was copied in full.",
        ) from error
    parts = facts.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise CheckpointError(
            f"{path} is one of {parts} parts of a GGUF file; a whole one was expected.",
            remedy="Join them with llama-gguf-split --merge.",
        )
    tensors = {name: stored[name] for name in sorted(stored, key=natural_key)}
    quantised = sorted(
        {one.dtype for one in tensors.values() if not one.reason} - set(_PLAIN.values())
    )
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        tensors=index_tensors(tensors, path),
        reader=lambda name: tensors[name].load(),
        notes=(f"dequantised: {', '.join(quantised)}",) if quantised else (),
        adapter_alpha=_adapter_alpha(facts),
    )


def _adapter_alpha(facts: Mapping[str, Any]) -> float | None:
    """What llama.cpp records of an adapter's scale."""
    alpha = facts.get("adapter.lora.alpha")
    if not isinstance(alpha, int | float) or not math.isfinite(alpha) or alpha <= 0:
        return None
    return float(alpha)


def _package() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise DependencyError(
            "A GGUF file needs the gguf package, which is not installed.",
            remedy="pip install 'dlgen[gguf]'",
        ) from error
    return gguf


def _read(file: SourceFile, package: Any) -> tuple[dict[str, StoredTensor], dict[str, Any]]:
    header = _Header(file.read(0, _MOST_HEADER))
    header.take(4)
    version = header.number("I")
    if version not in _VERSIONS:
        is_swapped = int.from_bytes(version.to_bytes(4, "big"), "little") in _VERSIONS
        found = "it is big-endian" if is_swapped else f"it is of version {version}"
        raise ValueError(f"{found}; a little-endian one of version 2 or 3 was expected")
    count, keys = header.number("Q"), header.number("Q")
    if count > MOST_TENSORS:
        raise ValueError(f"{count:,} tensors; at most {MOST_TENSORS:,} are read")
    facts: dict[str, Any] = {}
    for _ in range(keys):
        key = header.string()
        facts[key] = header.value(header.number("I"))
    entries = [_entry(header) for _ in range(count)]
    alignment = facts.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise ValueError(f"an alignment of {brief(alignment)}")
    start = header.at + -header.at % alignment
    tensors: dict[str, StoredTensor] = {}
    ranges = []
    for name, shape, code, offset in entries:
        if name in tensors:
            raise ValueError(f"the tensor {brief(name)} is there twice")
        tensors[name], size = _tensor(file, package, shape, code, start + offset)
        ranges.append((offset, offset + size))
    _require_apart(ranges)
    return tensors, facts


def _entry(header: _Header) -> tuple[str, tuple[int, ...], int, int]:
    name = header.string()
    axes = header.number("I")
    if axes > 8:
        raise ValueError(f"{brief(name)} has {axes:,} axes")
    sizes = [header.number("Q") for _ in range(axes)]
    code, offset = header.number("I"), header.number("Q")
    as_counts([offset])
    return name, as_counts(sizes[::-1]), code, offset


def _require_apart(ranges: list[tuple[int, int]]) -> None:
    at = 0
    for begin, end in sorted(ranges):
        if begin < at:
            raise ValueError(f"tensors overlap at byte {begin:,}")
        at = end


def _tensor(
    file: SourceFile, package: Any, shape: tuple[int, ...], code: int, offset: int
) -> tuple[StoredTensor, int]:
    """A tensor, and the bytes that it takes."""
    kind = package.GGMLQuantizationType(code)
    entries, width = package.GGML_QUANT_SIZES[kind]
    count = as_shape(shape)[1]
    row = shape[-1] if shape else 1
    if row % entries:
        raise ValueError(f"rows of {row:,} in blocks of {entries} of the type {kind.name}")
    size = count // entries * width
    if offset + size > file.size:
        raise ValueError(f"a tensor ends at byte {offset + size:,} of {file.size:,}")
    if kind.name in _PLAIN:
        return dense(file, offset, _PLAIN[kind.name], shape), size
    if not _can_dequantise(package, kind, width):
        reason = f"{kind.name}: the gguf package cannot dequantise it"
        return unread(shape, kind.name, reason), size

    def load() -> torch.Tensor:
        return _dequantise(package, kind, file.map(offset, size), shape)

    return StoredTensor(shape=shape, dtype=kind.name, reason="", load=load), size


@functools.cache
def _can_dequantise(package: Any, kind: Any, width: int) -> bool:

    try:
        package.quants.dequantize(np.zeros((1, width), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def _dequantise(package: Any, kind: Any, raw: memoryview, shape: tuple[int, ...]) -> torch.Tensor:

    entries, width = package.GGML_QUANT_SIZES[kind]
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, width)
    flat = torch.empty(len(blocks) * entries)
    step = max(1, _PART // entries)
    for start in range(0, len(blocks), step):
        part = package.quants.dequantize(blocks[start : start + step], kind)
        flat[start * entries : start * entries + part.size] = torch.from_numpy(part).reshape(-1)
    return flat.view(shape)
