"""Weights that stand in memory, in the place of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from dlgen_cli.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """What a caller of the library gave.

    Attributes:
        checkpoint: its tensors.
        module: the network itself, which is traced as it is; None for a state dict alone.
    """

    checkpoint: Checkpoint
    module: nn.Module | None = None
