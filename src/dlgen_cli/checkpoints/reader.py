"""From a path to a checkpoint: the format is told by content, never by suffix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dlgen_cli.checkpoints.checkpoint import Checkpoint, with_prefix
from dlgen_cli.checkpoints.garbage_collection import uncollected
from dlgen_cli.checkpoints.location import locate, reading


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
    with reading(path), uncollected():
        found = locate(path)
        opened = replace(found.format.read(found.path, part), path=found.shown)
        return with_prefix(opened, prefix) if prefix else opened
