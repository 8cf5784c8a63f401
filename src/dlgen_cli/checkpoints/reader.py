"""From a path to a checkpoint: the format is told by content, never by suffix."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from pathlib import Path

from dlgen_cli.checkpoints import hub
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.formats.registry import DIRECTORIES, INDEX, Format, format_of
from dlgen_cli.checkpoints.garbage_collection import uncollected
from dlgen_cli.errors import CheckpointError

_MOST_FILES = 1_000


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint: a file, a directory, or an address on the Hugging Face Hub.

    Args:
        path: what the user gave: safetensors, a torch file (zip or legacy), a TorchScript archive,
            GGUF or an index of shards; a directory with one of them, of ``dlgen train`` or of
            ``torch.distributed.checkpoint``; or ``hf://org/name[@revision][/file]``.

    Returns:
        A checkpoint whose tensors have not been read yet.

    Raises:
        CheckpointError: the path does not exist, cannot be read, or is no checkpoint.
        DependencyError: the format needs a package that is not installed.
    """
    try:
        if hub.is_address(path):
            path = hub.fetch(path)
        with uncollected():
            return _open_directory(path) if path.is_dir() else format_of(path).read(path)
    except OSError as error:
        reason = "a symbolic link in a circle" if error.errno == errno.ELOOP else error.strerror
        raise CheckpointError(
            f"{path} cannot be read: {reason or error}.",
            remedy="Check the path and its permissions.",
        ) from error


def _open_directory(path: Path) -> Checkpoint:
    for one in DIRECTORIES:
        if one.matches(path):
            return one.read(path)
    usual = [path / name for name in hub.USUAL_FILES]
    file = next((one for one in usual if one.is_file() or one.is_symlink()), None)
    file = file or _only_file(path)
    found = format_of(file)
    opened = found.read(file)
    return replace(opened, path=path) if found is INDEX else opened


def _only_file(path: Path) -> Path:
    entries = []
    for entry in path.iterdir():
        entries.append(entry)
        if len(entries) > _MOST_FILES:
            raise CheckpointError(
                f"{path} is a directory with more than {_MOST_FILES:,} entries.",
                remedy="Name the file.",
            )
    found = {one: _format_or_none(one) for one in sorted(entries) if one.is_file()}
    indices = [one for one in found if found[one] is INDEX and one.name.endswith(".index.json")]
    candidates = indices or [one for one in found if found[one] not in {None, INDEX}]
    if len(candidates) == 1:
        return candidates[0]
    names = ", ".join(entry.name for entry in candidates[:5]) or "none"
    parts = any(re.search(r"-\d+-of-\d+\.", entry.name) for entry in candidates)
    raise CheckpointError(
        f"{path} is a directory with {len(candidates)} checkpoint files ({names}); "
        "a checkpoint directory of dlgen train, or just one file, was expected.",
        remedy="Download the .index.json of the shards too." if parts else "Name the file.",
    )


def _format_or_none(path: Path) -> Format | None:
    if hub.BESIDE.fullmatch(path.name):
        return None
    try:
        return format_of(path)
    except (CheckpointError, OSError):
        return None
