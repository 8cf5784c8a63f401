"""Weights that a run starts from in place of a random initialization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs.ancestor import digest_hashes
from dlgen_cli.checkpoints.runs.trained_on import trained_on
from dlgen_cli.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.checkpoints.checkpoint import Checkpoint
    from dlgen_cli.checkpoints.runs.run_config import AnchorFacts

#: Fields of a recipe that the weights fix.
FIXED = ("architecture", "width", "depth", "stem", "image_size", "normalization")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A network with weights, and what trained them.

    Attributes:
        architecture: its name.
        arguments: of its constructor.
        tensors: its state dict.
        facts: as the run records them.
        hashes: of the images that trained it, uint8, shape ``(k, 16)``.
        looks: of the same images, uint8, shape ``(k, 14)``; of fewer where not all are on record.
        indices: where they stood, as in `TrainedOn`.
    """

    architecture: str
    arguments: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    facts: AnchorFacts
    hashes: Tensor
    looks: Tensor
    indices: Tensor


def open_start(path: Path) -> Start:
    """Open weights that record their architecture: of ``dlgen anchors``, or a run.

    Raises:
        CheckpointError: the file cannot be read, or hides what trained it.
        UsageError: it records no architecture.
    """
    checkpoint = open_checkpoint(path)
    architecture, arguments = _recorded(checkpoint)
    found = trained_on(checkpoint)
    if found.origin == "untraced":
        raise CheckpointError(
            f"{path} records training on examples of {found.source}, but not on which.",
            remedy="Give the run's whole directory.",
        )
    return Start(
        architecture=architecture,
        arguments=arguments,
        tensors={name: checkpoint.read(name) for name in checkpoint.tensors},
        facts={
            "name": checkpoint.path.name,
            "sha256": checkpoint.sha256,
            "examples": len(found.hashes),
            "hashes_sha256": digest_hashes(found.hashes),
            "origin": found.origin,
            "ancestors": [one.facts() for one in found.ancestors],
        },
        hashes=found.hashes.contiguous(),
        looks=found.looks.contiguous(),
        indices=found.indices,
    )


def settings_of(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that weights fix, by the fields of a recipe.

    Args:
        path: of the weights.
        given: what the user asked for.

    Raises:
        UsageError: the user asked for one of them.
        CheckpointError: see `open_start`.
    """
    for name in FIXED:
        if given.get(name) is not None:
            raise UsageError(
                f"The weights of --start fix the {name.replace('_', ' ')}; {given[name]} was given "
                "too.",
                remedy="Leave it out.",
            )
    start = open_start(path)
    known = {name: start.arguments[name] for name in FIXED[1:] if name in start.arguments}
    return {**known, "architecture": start.architecture, "start": str(path)}


def _recorded(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    if checkpoint.config is not None:
        config = checkpoint.config
        return config["architecture"], dict(config["architecture_arguments"])
    if checkpoint.anchor is not None:
        return checkpoint.anchor.architecture, dict(checkpoint.anchor.arguments)
    raise UsageError(
        f"{checkpoint.path} does not record its architecture.",
        remedy="Make a file of it that does, with `dlgen anchors`.",
    )
