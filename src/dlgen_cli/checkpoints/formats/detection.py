"""What a path holds: one question for each format, answered without torch.

A mistake in a path is told before anything that takes seconds is imported.
"""

from __future__ import annotations

import re
from pathlib import Path

from dlgen_cli.checkpoints.formats.signatures import ONNX_START, first_bytes, header_size
from dlgen_cli.checkpoints.pickles.zip_directory import ZipDirectory, archive_of
from dlgen_cli.checkpoints.runs.run_config import CONFIG_FILE, MODEL_FILE
from dlgen_cli.checkpoints.stored import SourceFile

HEADER_LIMIT = 100_000_000  # bytes; the limit of safetensors itself
ARRAY_SUFFIX = ".npy"
METADATA_FILE = ".metadata"
_SCHEMA_FAMILY = b'"dlgen-run-'
_MOST_CONFIG = 1 << 24  # bytes
_ZIP = b"PK\x03\x04"
_PROGRAM = re.compile(r"models/[^/]+\.json")
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def is_safetensors(path: Path) -> bool:
    """Whether a file starts with the length of a header and a header."""
    size = header_size(first_bytes(path))
    return size is not None and size <= HEADER_LIMIT


def is_numpy(path: Path) -> bool:
    """Whether a file is a zip archive of arrays and nothing else."""
    archive = _archive(path)
    names = list(archive.entries) if archive is not None else []
    return bool(names) and all(name.endswith(ARRAY_SUFFIX) for name in names)


def is_export(path: Path) -> bool:
    """Whether a file is a zip archive with the program of ``torch.export``."""
    archive = _archive(path)
    names = {name.split("/", 1)[-1] for name in archive.entries} if archive is not None else set()
    return "archive_format" in names and any(_PROGRAM.fullmatch(name) for name in names)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with the constants of a program."""
    archive = _archive(path)
    return archive is not None and is_script(archive)


def is_script(archive: ZipDirectory) -> bool:
    """Whether the archive is TorchScript's: it holds the constants of a program."""
    return any(name.split("/")[-1] == "constants.pkl" for name in archive.entries)


def is_torch(path: Path) -> bool:
    """Whether a file starts like a zip archive or a pickle."""
    return first_bytes(path).startswith((_ZIP, *_PICKLES))


def is_gguf(path: Path) -> bool:
    """Whether a file starts like GGUF."""
    return first_bytes(path).startswith(b"GGUF")


def is_onnx(path: Path) -> bool:
    """Whether a file starts with the version of ONNX and a field of a model."""
    return ONNX_START.match(first_bytes(path)) is not None


def is_index(path: Path) -> bool:
    """Whether a file starts like a JSON object."""
    return first_bytes(path).lstrip()[:1] == b"{"


def is_run_directory(directory: Path) -> bool:
    """Whether the directory holds a finished run.

    Other tools write a ``config.json`` beside a ``model.safetensors`` too: ours names its schema.
    """
    config = directory / CONFIG_FILE
    is_whole = config.is_file() and (directory / MODEL_FILE).is_file()
    is_small = is_whole and config.stat().st_size <= _MOST_CONFIG
    return is_small and _SCHEMA_FAMILY in config.read_bytes()


def is_distributed(directory: Path) -> bool:
    """Whether a directory holds the metadata of a distributed checkpoint."""
    return (directory / METADATA_FILE).is_file()


def _archive(path: Path) -> ZipDirectory | None:
    try:
        return archive_of(SourceFile.at(path))
    except ValueError:
        return None
