"""Which images trained the tensors of a checkpoint, as far back as it is on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.runs.ancestor import (
    HASH_BYTES,
    LOOK_BYTES,
    Ancestor,
    digest_hashes,
    recorded_ancestors,
)
from dlgen_cli.checkpoints.runs.run_config import RunConfig
from dlgen_cli.checkpoints.runs.run_record import RunRecord, find_run

Origin = Literal["declared", "initial", "run", "untraced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """What trained the tensors of a checkpoint.

    Attributes:
        origin: ``run`` where the images are on record, ``initial`` where there are none because
            the tensors are a run's random initialization, ``declared`` where no training is on
            record, ``untraced`` where training is on record, but not on which images.
        hashes: of the images, those of all ancestors, uint8, shape ``(k, 16)``; k is 0 but for
            ``run``.
        looks: of the same images, uint8, shape ``(k, 14)``; of fewer where not all are on record.
        indices: where each of them stood in its source, int64, shape ``(k,)``, -1 for one that was
            drawn at random; of fewer where not all are on record.
        source: what the run's data are called; None without a run.
        ancestors: the weights themselves, then all that they go back to.
    """

    origin: Origin
    hashes: Tensor
    looks: Tensor
    indices: Tensor
    source: str | None
    ancestors: tuple[Ancestor, ...]

    @property
    def weakest(self) -> Ancestor | None:
        """The first ancestor whose training is not bound to it by a record; None without one."""
        return next((one for one in self.ancestors if one.is_weak), None)


def trained_on(checkpoint: Checkpoint) -> TrainedOn:
    """Find what trained a checkpoint, and what it started from.

    Args:
        checkpoint: an anchors file, part of a run's directory, or of another origin.

    Raises:
        CheckpointError: the run's record is damaged.
    """
    record = checkpoint.anchor
    if record is not None:
        return TrainedOn(
            origin=record.origin,
            hashes=_rows(record.hashes, HASH_BYTES),
            looks=_rows(record.looks, LOOK_BYTES),
            indices=_integers(record.indices),
            source=record.source,
            ancestors=tuple(record.ancestors),
        )
    run = find_run(checkpoint)
    if run is not None:
        return _of_run(checkpoint, run)
    config = checkpoint.config
    origin: Origin = "declared"
    if config is not None:
        origin = _start_of(config) if checkpoint.is_initial else "untraced"
    return TrainedOn(
        origin=origin,
        hashes=_rows(b"", HASH_BYTES),
        looks=_rows(b"", LOOK_BYTES),
        indices=_integers(b""),
        source=None if config is None else config["source"],
        ancestors=(_own(checkpoint, "declared" if config is None else "unbound"),),
    )


def _of_run(checkpoint: Checkpoint, run: RunRecord) -> TrainedOn:
    config, labels, is_initial = run.config, run.labels, checkpoint.is_initial
    began = config.get("anchor")
    earlier = recorded_ancestors(began) if began is not None else ()
    own: Literal["initial", "run"] = "initial" if is_initial else "run"
    itself = _own(
        checkpoint,
        own if run.is_bound else "unbound",
        config=config,
        hashes=None if is_initial else labels.get("image_hashes"),
    )
    parts = ["anchor"] if is_initial else ["image", "anchor"]
    hashes = _joined(labels, [f"{one}_hashes" for one in parts], _rows(b"", HASH_BYTES))
    places = ["anchor_indices"] if is_initial else ["indices", "anchor_indices"]
    return TrainedOn(
        origin="run" if len(hashes) else _start_of(config) if is_initial else "untraced",
        hashes=hashes,
        looks=_joined(labels, [f"{one}_looks" for one in parts], _rows(b"", LOOK_BYTES)),
        indices=_joined(labels, places, _integers(b"")),
        source=config["source"],
        ancestors=earlier if is_initial and earlier and run.is_bound else (itself, *earlier),
    )


def _own(
    checkpoint: Checkpoint,
    origin: Literal["declared", "initial", "run", "unbound"],
    *,
    config: RunConfig | None = None,
    hashes: Tensor | None = None,
) -> Ancestor:
    return Ancestor(
        name=checkpoint.path.resolve().name,
        sha256=checkpoint.sha256,
        origin=origin,
        source=None if config is None else config["source"],
        source_sha256=None if config is None else config.get("source_sha256"),
        examples=0 if hashes is None else len(hashes),
        hashes_sha256=digest_hashes(hashes),
    )


def _joined(labels: Mapping[str, Tensor], names: list[str], none: Tensor) -> Tensor:
    return torch.cat([none, *(labels[name] for name in names if name in labels)])


def _rows(content: bytes, width: int) -> Tensor:
    flat = torch.frombuffer(bytearray(content) or bytearray(width), dtype=torch.uint8)
    return flat.reshape(-1, width)[: len(content) // width]


def _integers(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, "<i8").astype(np.int64))


def _start_of(config: RunConfig) -> Origin:
    """What a run began at, where no image is on record that trained it."""
    began = config.get("anchor")
    if began is None or began["origin"] == "initial":
        return "initial"
    return "declared" if began["origin"] == "declared" else "untraced"
