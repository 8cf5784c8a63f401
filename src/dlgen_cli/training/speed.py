"""How fast a run goes, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dlgen_cli.training.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from dlgen_cli.training.trial import Trial


class Speed:
    """Measures the epochs of one session and reports them."""

    def __init__(self, trial: Trial, progress: ProgressCallback | None) -> None:
        """Start the clock.

        Args:
            trial: the run; it is only read.
            progress: where to report; None for nowhere.
        """
        self._trial = trial
        self._progress = progress
        self._count = len(trial.train)
        self._first_epoch = trial.epoch
        self._started = time.perf_counter()
        self._training_seconds = 0.0
        self._epoch_started = self._started

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """Count the time of an epoch's training steps."""
        self._epoch_started = time.perf_counter()
        yield
        self._training_seconds += time.perf_counter() - self._epoch_started

    @property
    def images_per_second(self) -> float:
        """Training images a second over the finished epochs; evaluation not counted."""
        images = (self._trial.epoch - self._first_epoch) * self._count
        return images / max(self._training_seconds, 1e-9)

    def tick(self, done: int) -> None:
        """Report from within an epoch, of which so many examples are done."""
        seconds = self._training_seconds + time.perf_counter() - self._epoch_started
        images = (self._trial.epoch - self._first_epoch) * self._count + done
        if done < self._count:
            self._report(done / self._count, images / max(seconds, 1e-9))

    def show(self) -> None:
        """Report after an epoch."""
        self._report(0.0, self.images_per_second)

    def _report(self, share: float, images_per_second: float) -> None:
        if self._progress is None:
            return
        trial = self._trial
        last = trial.metrics[-1]
        evaluated = next(one for one in reversed(trial.metrics) if one["train_error"] is not None)
        epochs_done = trial.epoch - self._first_epoch + share
        elapsed = time.perf_counter() - self._started
        left = trial.recipe.epochs - trial.epoch - share
        self._progress(
            Progress(
                epoch=trial.epoch,
                epochs=trial.recipe.epochs,
                share=share,
                loss=last["loss"],
                running_error=last["running_error"],
                train_error=evaluated["train_error"],
                test_error=evaluated["test_error"],
                images_per_second=images_per_second,
                seconds_left=elapsed / epochs_done * left if epochs_done > 0 else None,
            )
        )
