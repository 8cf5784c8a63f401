"""What a run reports while it goes on: standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of a run, after an epoch or within one.

    Attributes:
        epoch: epochs run so far, counted from the start of the run.
        epochs: the most epochs that the recipe allows.
        share: of the epoch that goes on, the share done, in [0, 1); 0 after an epoch.
        loss: mean cross-entropy over the last epoch's steps, in nats; None before the first.
        running_error: share of wrong answers on the way through the last epoch; None before
            the first.
        train_error: share of wrong answers on the training examples at the last evaluation; NaN in
            a run that is evaluated at its end, whose ``loss`` is its objective.
        test_error: the same on the real test set.
        images_per_second: training images a second, over this session; evaluation not counted.
        seconds_left: estimate for all epochs that are left, evaluation counted; an error that
            stops the run may end it sooner. None before the first estimate.
    """

    epoch: int
    epochs: int
    share: float
    loss: float | None
    running_error: float | None
    train_error: float
    test_error: float
    images_per_second: float
    seconds_left: float | None


#: Called as work outside the epochs gets done: what it is, pieces done, pieces in all.
WorkProgress = Callable[[str, int, int], None]
ProgressCallback = Callable[[Progress], None]
