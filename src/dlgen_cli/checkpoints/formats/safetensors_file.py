"""Safetensors files: the header is checked entry by entry, tensors are mapped one at a time."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors, natural_key
from dlgen_cli.checkpoints.json_text import MOST_BYTES, parse_object
from dlgen_cli.checkpoints.runs.anchor_record import AnchorRecord, read_record
from dlgen_cli.checkpoints.runs.factored import FactoredIndex
from dlgen_cli.checkpoints.runs.run_config import (
    HEADER_KEY,
    MODEL_FILE,
    RETRAIN,
    RunConfig,
    facts_of,
    parse_config,
    read_config,
)
from dlgen_cli.checkpoints.runs.run_record import require_own
from dlgen_cli.checkpoints.stored import (
    MOST_TENSORS,
    SourceFile,
    StoredTensor,
    as_counts,
    brief,
    dense,
    is_text,
    itemsize,
    sha256_of,
    unread,
)
from dlgen_cli.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "C64": "complex64",
}
_METADATA = "__metadata__"
_MOST_DIGITS = 18  # of a sample count


def open_run(directory: Path) -> Checkpoint:
    """Open the weights in a directory of ``dlgen train``.

    Raises:
        CheckpointError: as `open_safetensors`.
    """
    config = read_config(directory)
    require_own(directory, config, MODEL_FILE)
    return open_safetensors(directory / MODEL_FILE, directory=directory, config=config)


class AgainstFormatError(ValueError):
    """A whole file that the format does not allow."""


def open_safetensors(
    path: Path, *, directory: Path | None = None, config: RunConfig | None = None
) -> Checkpoint:
    """Open a safetensors file; tensors come in the natural order of their names.

    The format does not keep the order of definition.

    Args:
        path: the file.
        directory: the checkpoint directory that it belongs to, if any.
        config: what that directory records; without one, the header's metadata is asked.

    Raises:
        CheckpointError: the file is truncated or malformed, or records another run than its
            directory.
    """
    stored, metadata = read_header(path)
    factored = FactoredIndex(metadata, str(path))

    found = {name: one for name, one in stored.items() if name not in factored.stored}
    for name, shape in factored.shapes.items():
        load = partial(_decode, factored, name, stored)
        found[name] = StoredTensor(shape=shape, dtype="factors", reason="", load=load)
    tensors = {name: found[name] for name in sorted(found, key=natural_key)}
    recorded = _recorded_config(metadata, path)
    if config is not None and recorded not in (None, facts_of(config)):
        raise CheckpointError(
            f"{path} records another run than the config.json beside it.",
            remedy=f"Put back the weights of that run. {RETRAIN}",
        )
    config = config or recorded
    anchor = _recorded_anchor(metadata, path)
    named = anchor.architecture if anchor is not None else metadata.get("architecture")
    return Checkpoint(
        path=directory or path,
        sha256=sha256_of(path),
        tensors=index_tensors(tensors, path),
        reader=lambda name: tensors[name].load(),
        config=config,
        examples=config["examples"] if config else _recorded_examples(metadata),
        architecture=config["architecture"] if config else named,
        is_initial=config is not None and metadata.get("tensors") == "initial",
        is_trained=config is not None and metadata.get("tensors") == "trained",
        anchor=anchor,
    )


def read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors of a file by name, and the metadata of its header.

    Raises:
        CheckpointError: the header is malformed, or its ranges overlap, leave holes, or are not
            those of the file.
        OSError: the file cannot be read.
    """
    file = SourceFile.at(path)
    size = int.from_bytes(file.read(0, 8), "little")
    if size > file.size - 8:
        raise CheckpointError(
            f"{path} looks like safetensors, but its header claims {size:,} bytes of a file of "
            f"{file.size:,}.",
            remedy="Check that it was copied in full.",
        )
    try:
        return _parse_header(file, size)
    except AgainstFormatError as error:
        raise CheckpointError(
            f"{path} is against the format of safetensors: {error}.",
            remedy="Write it again with a library that keeps to the format.",
        ) from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({brief(' '.join(str(error).split()))}).",
            remedy="Check that it was copied in full.",
        ) from error


def _parse_header(file: SourceFile, size: int) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    if size > MOST_BYTES:
        raise ValueError(f"its header has {size:,} bytes; at most {MOST_BYTES:,} are read")
    text = file.read(8, size)
    if text.count(b'"data_offsets"') > MOST_TENSORS:
        raise ValueError(f"it names more than {MOST_TENSORS:,} tensors")
    start = 8 + size
    header = parse_object(text)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(map(is_text, metadata.values())):
        raise AgainstFormatError("its metadata are no texts by name, such as numbers or objects")
    ranges = []
    tensors = {}
    for name, entry in header.items():
        if not is_text(name):
            raise ValueError("a name is no Unicode text")
        begin, end = _range_of(name, entry)
        ranges.append((begin, end))
        tensors[name] = _tensor(name, entry, file, start + begin, end - begin)
    at = 0
    for begin, end in sorted(ranges):
        if begin != at:
            raise ValueError(f"tensors overlap or leave a hole at byte {min(begin, at):,}")
        at = end
    if start + at < file.size:
        raise AgainstFormatError(f"tensors end at byte {start + at:,} of {file.size:,}")
    if start + at != file.size:
        raise ValueError(f"tensors end at byte {start + at:,} of {file.size:,}")
    return tensors, metadata


def _range_of(name: str, entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2:
        raise ValueError(f"{brief(name)} has no data_offsets")
    begin, end = as_counts(offsets)
    if begin > end:
        raise ValueError(f"{brief(name)} ends before it begins")
    return begin, end


def _tensor(
    name: str, entry: Mapping[str, Any], file: SourceFile, offset: int, size: int
) -> StoredTensor:
    kind = entry.get("dtype")
    if not isinstance(kind, str) or not re.fullmatch(r"[A-Z0-9_]{1,20}", kind):
        raise ValueError(f"{brief(name)} has the type {brief(kind)}")
    if kind not in _TYPES:
        return unread(entry.get("shape", ()), kind, f"{kind}: packed entries of unknown scale")
    tensor = dense(file, offset, _TYPES[kind], entry.get("shape", ()))
    if math.prod(tensor.shape) * itemsize(tensor.dtype) != size:
        raise ValueError(f"{brief(name)} of shape {brief(tensor.shape)} has {size:,} bytes")
    return tensor


def _decode(factored: FactoredIndex, name: str, stored: Mapping[str, StoredTensor]) -> torch.Tensor:
    return factored.decode(name, lambda part: stored[part].load()).weight()


def _recorded_config(metadata: Mapping[str, str], path: Path) -> RunConfig | None:
    text = metadata.get(HEADER_KEY)
    return None if text is None else parse_config(text, f"the header of {path}")


def _recorded_anchor(metadata: Mapping[str, str], path: Path) -> AnchorRecord | None:
    """The origin that the header tells of the tensors behind it, and of no others."""
    record = read_record(metadata, str(path))
    if record is not None and record.tensors_sha256:
        with path.open("rb") as file:
            file.seek(8 + int.from_bytes(file.read(8), "little"))
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != record.tensors_sha256:
            raise CheckpointError(
                f"The header of {path} tells the origin of other tensors than the file holds.",
                remedy="Make the file again with `dlgen anchors`.",
            )
    return record


def _recorded_examples(metadata: Mapping[str, str]) -> int | None:
    """The count that a file of another origin may record under ``examples``."""
    text = metadata.get("examples", "")
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None
