"""From a path to a checkpoint: the format is told by content, never by suffix."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from dlgen_cli.checkpoints import hub
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.formats.distributed import open_distributed
from dlgen_cli.checkpoints.formats.gguf_file import open_gguf
from dlgen_cli.checkpoints.formats.safetensors_file import open_safetensors
from dlgen_cli.checkpoints.formats.sharded import open_sharded
from dlgen_cli.checkpoints.formats.signatures import sniff
from dlgen_cli.checkpoints.formats.torch_file import open_torch
from dlgen_cli.checkpoints.formats.torchscript import open_script
from dlgen_cli.checkpoints.garbage_collection import uncollected
from dlgen_cli.checkpoints.pickles.archive import archive_of, guarded, is_script
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.stored import SourceFile
from dlgen_cli.errors import CheckpointError

_DISTRIBUTED = ".metadata"
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
            return _open_directory(path) if path.is_dir() else _open_file(path)
    except OSError as error:
        reason = "a symbolic link in a circle" if error.errno == errno.ELOOP else error.strerror
        raise CheckpointError(
            f"{path} cannot be read: {reason or error}.",
            remedy="Check the path and its permissions.",
        ) from error


def _open_file(path: Path, *, directory: Path | None = None) -> Checkpoint:
    kind = sniff(path)
    if kind == "safetensors":
        return open_safetensors(path)
    if kind == "gguf":
        return open_gguf(path)
    if kind == "index":
        return open_sharded(path, directory=directory)
    file = SourceFile.at(path)
    archive = guarded(path, lambda: archive_of(file))
    if archive is not None and is_script(archive):
        return open_script(file, archive)
    return open_torch(path)


def _open_directory(path: Path) -> Checkpoint:
    if run_directory.is_run_directory(path):
        config = run_directory.read_config(path)
        return open_safetensors(path / run_directory.MODEL_FILE, directory=path, config=config)
    if (path / _DISTRIBUTED).is_file():
        return open_distributed(path)
    for name in hub.USUAL_FILES:
        if (path / name).is_file() or (path / name).is_symlink():
            return _open_file(path / name, directory=path)
    return _open_file(_only_file(path), directory=path)


def _only_file(path: Path) -> Path:
    entries = []
    for entry in path.iterdir():
        entries.append(entry)
        if len(entries) > _MOST_FILES:
            raise CheckpointError(
                f"{path} is a directory with more than {_MOST_FILES:,} entries.",
                remedy="Name the file.",
            )
    kinds = {entry: _sniff_or_none(entry) for entry in sorted(entries) if entry.is_file()}
    indices = [
        one for one, kind in kinds.items() if kind == "index" and one.name.endswith(".index.json")
    ]
    candidates = indices or [one for one, kind in kinds.items() if kind not in {None, "index"}]
    if len(candidates) == 1:
        return candidates[0]
    found = ", ".join(entry.name for entry in candidates[:5]) or "none"
    parts = any(re.search(r"-\d+-of-\d+\.", entry.name) for entry in candidates)
    raise CheckpointError(
        f"{path} is a directory with {len(candidates)} checkpoint files ({found}); "
        "a checkpoint directory of dlgen train, or just one file, was expected.",
        remedy="Download the .index.json of the shards too." if parts else "Name the file.",
    )


def _sniff_or_none(path: Path) -> str | None:
    if hub.BESIDE.fullmatch(path.name):
        return None
    try:
        return sniff(path)
    except (CheckpointError, OSError):
        return None
