"""From a path to a checkpoint: the format is told by content, never by suffix."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlgen_cli.checkpoints import hub
from dlgen_cli.checkpoints.checkpoint import Checkpoint, with_prefix
from dlgen_cli.checkpoints.formats.registry import DIRECTORIES, INDEX, Format, format_of
from dlgen_cli.checkpoints.garbage_collection import uncollected
from dlgen_cli.errors import CheckpointError

_MOST_FILES = 1_000
_MOST_FOLDERS = 8
#: Between the name and the suffix of a file that stands beside the plain one.
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema)(?=\.[a-z]+$)")


def open_checkpoint(path: Path, *, part: str | None = None, prefix: str = "") -> Checkpoint:
    """Open a checkpoint: a file, a directory, or an address on the Hugging Face Hub.

    Args:
        path: what the user gave: safetensors, a torch file (zip or legacy), a TorchScript archive,
            GGUF or an index of shards; a directory with one of them, of ``dlgen train`` or of
            ``torch.distributed.checkpoint``; or ``hf://org/name[@revision][/file]``.
        part: dotted keys of the part to read where a file holds several networks.
        prefix: what the names of tensors start with; it is taken off, and others are left aside.

    Returns:
        A checkpoint whose tensors have not been read yet.

    Raises:
        CheckpointError: the path does not exist, cannot be read, or is no checkpoint.
        DependencyError: the format needs a package that is not installed.
        UsageError: there is no such part.
    """
    try:
        if hub.is_address(path):
            path = hub.fetch(path)
        with uncollected():
            if path.is_dir():
                opened = _open_directory(path, part)
            else:
                opened = format_of(path).read(path, part)
        return with_prefix(opened, prefix) if prefix else opened
    except OSError as error:
        reason = "a symbolic link in a circle" if error.errno == errno.ELOOP else error.strerror
        raise CheckpointError(
            f"{path} cannot be read: {reason or error}.",
            remedy="Check the path and its permissions.",
        ) from error


def _open_directory(path: Path, part: str | None) -> Checkpoint:
    for one in DIRECTORIES:
        if one.matches(path):
            return one.read(path, part)
    usual = [path / name for name in hub.USUAL_FILES]
    file = next((one for one in usual if one.is_file() or one.is_symlink()), None)
    file = file or _only_file(path)
    found = format_of(file)
    opened = found.read(file, part)
    return replace(opened, path=path) if found is INDEX else opened


def _only_file(path: Path) -> Path:
    entries = _entries(path)
    found = {one: _format_or_none(one) for one in sorted(entries) if one.is_file()}
    indices = [one for one in found if found[one] is INDEX and one.name.endswith(".index.json")]
    candidates = indices or [one for one in found if found[one] not in {None, INDEX}]
    candidates = _plain_variants(candidates)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates and (below := _folders_with_weights(entries)):
        raise CheckpointError(
            f"{path} is a directory without weights of its own; its folders "
            f"{', '.join(one.name for one in below)} hold some.",
            remedy=f"Pass the folder of the network to audit, such as {below[0]}",
        )
    names = ", ".join(entry.name for entry in candidates[:5]) or "none"
    parts = any(re.search(r"-\d+-of-\d+\.", entry.name) for entry in candidates)
    raise CheckpointError(
        f"{path} is a directory with {len(candidates)} checkpoint files ({names}); "
        "a checkpoint directory of dlgen train, or just one file, was expected.",
        remedy="Download the .index.json of the shards too." if parts else "Name the file.",
    )


def _entries(path: Path) -> list[Path]:
    entries = []
    for entry in path.iterdir():
        entries.append(entry)
        if len(entries) > _MOST_FILES:
            raise CheckpointError(
                f"{path} is a directory with more than {_MOST_FILES:,} entries.",
                remedy="Name the file.",
            )
    return entries


def _plain_variants(files: Sequence[Path]) -> list[Path]:
    """Without variants of a file that is there itself: half precision, averaged, no EMA."""
    names = {one.name for one in files}
    return [one for one in files if _VARIANT.sub("", one.name) not in names - {one.name}]


def _folders_with_weights(entries: Sequence[Path]) -> list[Path]:
    """Folders that hold a checkpoint, at most as many as a message lists."""
    found = []
    for one in sorted(entries):
        try:
            if one.is_dir() and any(
                inner.is_file() and _format_or_none(inner) is not None for inner in _entries(one)
            ):
                found.append(one)
        except (CheckpointError, OSError):
            continue
        if len(found) == _MOST_FOLDERS:
            break
    return found


def _format_or_none(path: Path) -> Format | None:
    if hub.BESIDE.fullmatch(path.name):
        return None
    try:
        return format_of(path)
    except (CheckpointError, OSError):
        return None
