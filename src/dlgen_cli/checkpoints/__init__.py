"""Bytes to named tensors, told by content, one tensor at a time."""

from dlgen_cli.checkpoints.checkpoint import (
    Checkpoint,
    LeftAside,
    TensorInfo,
    prefix_remedy,
    without_prefix,
)
from dlgen_cli.checkpoints.in_memory import checkpoint_of
from dlgen_cli.checkpoints.reader import open_checkpoint

__all__ = [
    "Checkpoint",
    "LeftAside",
    "TensorInfo",
    "checkpoint_of",
    "open_checkpoint",
    "prefix_remedy",
    "without_prefix",
]
