"""From a path to a checkpoint: the format is told by content, never by suffix."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from dlgen_cli.checkpoints import run_directory
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.errors import CheckpointError

_SAFETENSORS_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a safetensors file, a torch file (zip or legacy) or a checkpoint directory.

    Args:
        path: what the user gave.

    Returns:
        A checkpoint whose tensors have not been read yet.

    Raises:
        CheckpointError: the path does not exist, cannot be read, or is no checkpoint.
    """
    try:
        if path.is_dir():
            return _open_directory(path)
        return _open_file(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(
            f"{path} cannot be read: {reason}.", remedy="Check the path and its permissions."
        ) from error


def _open_file(path: Path) -> Checkpoint:
    kind = sniff(path)
    digest = _sha256(path)
    if kind == "safetensors":
        from dlgen_cli.checkpoints.safetensors_file import open_safetensors

        return open_safetensors(path, digest)
    from dlgen_cli.checkpoints.torch_file import open_torch

    return open_torch(path, digest, is_zip=kind == "torch-zip")


def _open_directory(path: Path) -> Checkpoint:
    if run_directory.is_run_directory(path):
        from dlgen_cli.checkpoints.safetensors_file import open_safetensors

        weights = path / run_directory.MODEL_FILE
        config = run_directory.read_config(path)
        return open_safetensors(weights, _sha256(weights), directory=path, config=config)
    candidates = sorted(
        entry for entry in path.iterdir() if entry.is_file() and _sniff_or_none(entry) is not None
    )
    if len(candidates) == 1:
        return _open_file(candidates[0])
    found = ", ".join(entry.name for entry in candidates[:5]) or "none"
    raise CheckpointError(
        f"{path} is a directory with {len(candidates)} checkpoint files ({found}); "
        "a checkpoint directory of dlgen train, or just one file, was expected.",
        remedy="Name the file.",
    )


def _sniff_or_none(path: Path) -> str | None:
    try:
        return sniff(path)
    except (CheckpointError, OSError):
        return None


def sniff(path: Path) -> Literal["safetensors", "torch-zip", "torch-legacy"]:
    """Tell the format of a file by its first bytes.

    Raises:
        CheckpointError: they are no checkpoint's.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        size = os.fstat(file.fileno()).st_size
    if not head:
        raise CheckpointError(f"{path} is empty.", remedy="Check that it was copied in full.")
    # safetensors first: the length of its header may happen to start like a pickle
    header = int.from_bytes(head[:8], "little") if head[8:9] == b"{" else None
    if header is not None and header <= _SAFETENSORS_HEADER_LIMIT:
        if header > size - 8:
            raise _truncated(path, header, size)
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return "torch-legacy"
    if header is not None:
        raise _truncated(path, header, size)
    raise CheckpointError(
        f"{path} is no checkpoint: it starts with {head[:8]!r}; safetensors, a torch file or a "
        "checkpoint directory was expected.",
        remedy="Save the weights with torch.save(model.state_dict(), ...) or safetensors.",
    )


def _truncated(path: Path, header: int, size: int) -> CheckpointError:
    return CheckpointError(
        f"{path} looks like safetensors, but its header claims {header:,} bytes of a file "
        f"of {size:,}.",
        remedy="Check that it was copied in full.",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
