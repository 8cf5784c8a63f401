"""Which images trained the tensors of a checkpoint, as far as it is on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.runs import run_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """What trained the tensors of a checkpoint.

    Attributes:
        origin: ``run`` where the images are on record, ``initial`` where there are none because
            the tensors are a run's random initialization, ``declared`` where no training is on
            record, ``untraced`` where training is on record, but not on which images.
        hashes: of the images, uint8, shape ``(k, 16)``; k is 0 but for ``run``.
        source: what the run's data are called; None without a run.
    """

    origin: Literal["declared", "initial", "run", "untraced"]
    hashes: Tensor
    source: str | None


def trained_on(checkpoint: Checkpoint) -> TrainedOn:
    """Find what trained a checkpoint, or the anchor that it started from.

    Args:
        checkpoint: an anchors file, part of a run's directory, or of another origin.

    Raises:
        CheckpointError: the run's record is damaged.
    """
    record = checkpoint.anchor
    if record is not None:
        hashes = torch.frombuffer(bytearray(record.hashes) or bytearray(16), dtype=torch.uint8)
        hashes = hashes.reshape(-1, 16)[: record.examples]
        return TrainedOn(origin=record.origin, hashes=hashes, source=record.source)
    config = checkpoint.config
    source = None if config is None else config["source"]
    hashes = _recorded_hashes(checkpoint)
    if len(hashes):
        return TrainedOn(origin="run", hashes=hashes, source=source)
    if config is None:
        return TrainedOn(origin="declared", hashes=hashes, source=None)
    return TrainedOn(
        origin=_start_of(dict(config)) if checkpoint.is_initial else "untraced",
        hashes=hashes,
        source=source,
    )


def _recorded_hashes(checkpoint: Checkpoint) -> Tensor:
    """Those of the run's directory: its own images, and those of the anchor that it began at."""
    names = ["image_hashes", "anchor_hashes"]
    if checkpoint.is_initial:
        names = ["anchor_hashes"] if "anchor" in dict(checkpoint.config or {}) else []
    directory = run_directory.find_run_directory(checkpoint) if names else None
    labels = {} if directory is None else run_directory.read_labels(directory)
    found = [labels[name] for name in names if name in labels]
    return torch.cat(found) if found else torch.zeros((0, 16), dtype=torch.uint8)


def _start_of(config: dict[str, Any]) -> Literal["declared", "initial", "untraced"]:
    """What a run began at, where no image is on record that trained it."""
    began: dict[str, Any] | None = config.get("anchor")
    if began is None or began.get("origin") == "initial":
        return "initial"
    return "declared" if began.get("origin") == "declared" else "untraced"
