"""Progress of a training run: a bar or lines on stderr, and curves for TensorBoard."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlgen_cli.cli import console
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.progress import ShowWork, Work, duration, writing_lines

if TYPE_CHECKING:
    from rich.console import Console

    from dlgen_cli.training import Progress, ProgressCallback

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_FRAMES = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Where a run reports.

    Attributes:
        epochs: takes in how far training is.
        work: takes in the rest: images decoded, examples evaluated.
    """

    epochs: ProgressCallback | None = None
    work: ShowWork | None = None


@contextmanager
def show_progress(options: ReportOptions, tensorboard: Path | None = None) -> Iterator[Shown]:
    """Progress of a run on stderr: a bar on a terminal, else a line now and then.

    Args:
        options: ``--quiet`` shows nothing.
        tensorboard: directory for curves; None writes none.

    Raises:
        DependencyError: curves were asked for and tensorboard is not installed.
    """
    if tensorboard is None:
        with _on_stderr(options) as show:
            yield show
        return
    from dlgen_cli.training.tensorboard import writing_curves

    with writing_curves(tensorboard) as write, _on_stderr(options) as show:

        def both(state: Progress) -> None:
            write(state)
            if show.epochs is not None:
                show.epochs(state)

        yield replace(show, epochs=both)


@contextmanager
def _on_stderr(options: ReportOptions) -> Iterator[Shown]:
    console_ = console.stderr()
    if options.quiet:
        yield Shown()
    elif console_.is_terminal:
        with _bar(console_) as show:
            yield show
    else:
        with _lines(console_) as show:
            yield show


@contextmanager
def _bar(stderr: Console) -> Iterator[Shown]:
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("{task.fields[what]}", markup=False),
        rich_progress.BarColumn(bar_width=16),
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("", total=None, what="")
        work, last = Work(), 0.0

        def show_epochs(state: Progress) -> None:
            nonlocal last
            if state.share and time.monotonic() - last < _SECONDS_BETWEEN_FRAMES:
                return
            last = time.monotonic()
            bar.update(
                task,
                completed=state.epoch + state.share,
                total=state.epochs,
                description=_describe(state),
                what=f"epoch {_epochs(state)}",
            )

        def show_work(what: str, done: int, total: int) -> None:
            work.take(what, done, total)
            bar.update(task, completed=done, total=total, description=work.share(), what=what)

        yield Shown(epochs=show_epochs, work=show_work)


@contextmanager
def _lines(stderr: Console) -> Iterator[Shown]:
    last = time.monotonic()
    with writing_lines(stderr) as show:

        def show_epochs(state: Progress) -> None:
            nonlocal last
            show("", 0, 0)  # no work beside the epochs goes on
            if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                stderr.print(f"epoch {_epochs(state)}: {_describe(state)}", markup=False)

        yield Shown(epochs=show_epochs, work=show)


def _epochs(state: Progress) -> str:
    done = f"{state.epoch + state.share:.2f}" if state.share else str(state.epoch)
    return f"{done}/{state.epochs}"


def _describe(state: Progress) -> str:
    error = f"train error {state.train_error:.4f}"
    if math.isnan(state.train_error):  # a run that is evaluated at its end
        error = f"objective {state.loss:.4f}"
    parts = [error, f"{state.images_per_second:,.0f} images/s"]
    if state.seconds_left is not None:
        parts.append(f"at most {duration(state.seconds_left)} left")
    return ", ".join(parts)
