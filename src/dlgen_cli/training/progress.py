"""What a run reports while it goes on: standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state after one epoch.

    Attributes:
        epoch: epochs run so far, counted from the start of the run.
        epochs: the most epochs that the recipe allows.
        loss: mean cross-entropy over the epoch's steps, in nats.
        train_error: share of wrong answers on the training examples, in [0, 1].
        test_error: the same on the real test set.
        images_per_second: training images a second, over this session; evaluation not counted.
    """

    epoch: int
    epochs: int
    loss: float
    train_error: float
    test_error: float
    images_per_second: float


ProgressCallback = Callable[[Progress], None]
