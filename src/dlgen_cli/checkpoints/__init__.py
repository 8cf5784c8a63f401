"""Bytes to named tensors, told by content, one tensor at a time."""

from dlgen_cli.checkpoints.checkpoint import Checkpoint, TensorInfo
from dlgen_cli.checkpoints.reader import open_checkpoint

__all__ = ["Checkpoint", "TensorInfo", "open_checkpoint"]
