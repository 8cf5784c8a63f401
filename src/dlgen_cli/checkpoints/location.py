"""From a path to the file with the weights and its format; nothing here imports torch."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dlgen_cli.checkpoints import hub
from dlgen_cli.checkpoints.formats.registry import DIRECTORIES, INDEX, Format, format_of
from dlgen_cli.errors import CheckpointError

_MOST_FILES = 1_000
_MOST_FOLDERS = 8
#: Between the name and the suffix of a file that stands beside the plain one.
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema)(?=\.[a-z]+$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a checkpoint is.

    Attributes:
        path: a file, or a directory that is a format of its own.
        format: what it holds.
        shown: what a report calls it: the directory of an index of shards, else ``path``.
    """

    path: Path
    format: Format
    shown: Path


def locate(path: Path) -> Location:
    """Find the weights at a path, and tell their format by their first bytes.

    Args:
        path: a file, a directory, or an address on the Hugging Face Hub, which is fetched.

    Raises:
        CheckpointError: the path does not exist, cannot be read, or is no checkpoint.
        DependencyError: an address, and huggingface_hub is not installed.
    """
    with reading(path):
        if hub.is_address(path):
            path = hub.fetch(path)
        return _in_directory(path) if path.is_dir() else _at(path, path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one line what the system has against reading a path.

    Raises:
        CheckpointError: instead of `OSError`.
    """
    try:
        yield
    except OSError as error:
        reason = "a symbolic link in a circle" if error.errno == errno.ELOOP else error.strerror
        raise CheckpointError(
            f"{path} cannot be read: {reason or error}.",
            remedy="Check the path and its permissions.",
        ) from error


def _at(path: Path, shown: Path) -> Location:
    found = format_of(path)
    return Location(path=path, format=found, shown=shown if found is INDEX else path)


def _in_directory(path: Path) -> Location:
    for one in DIRECTORIES:
        if one.matches(path):
            return Location(path=path, format=one, shown=path)
    usual = [path / name for name in hub.USUAL_FILES]
    file = next((one for one in usual if one.is_file() or one.is_symlink()), None)
    return _at(file or _only_file(path), path)


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
