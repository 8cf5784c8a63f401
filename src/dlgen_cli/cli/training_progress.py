"""Progress of a training run: a bar or lines on stderr, and curves for TensorBoard."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dlgen_cli.cli import console
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.progress import duration

if TYPE_CHECKING:
    from rich.console import Console

    from dlgen_cli.training import Progress, ProgressCallback

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_FRAMES = 0.1


@contextmanager
def show_progress(
    options: ReportOptions, tensorboard: Path | None = None
) -> Iterator[ProgressCallback | None]:
    """Progress over epochs on stderr: a bar on a terminal, else a line now and then.

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
            if show is not None:
                show(state)

        yield both


@contextmanager
def _on_stderr(options: ReportOptions) -> Iterator[ProgressCallback | None]:
    console_ = console.stderr()
    if options.quiet:
        yield None
    elif console_.is_terminal:
        with _bar(console_) as show:
            yield show
    else:
        yield _lines(console_)


@contextmanager
def _bar(stderr: Console) -> Iterator[ProgressCallback]:
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("epoch"),
        rich_progress.TextColumn("{task.fields[done]}"),
        rich_progress.BarColumn(bar_width=16),
        rich_progress.TextColumn("{task.description}"),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("", total=None, done="")
        last = 0.0

        def show(state: Progress) -> None:
            nonlocal last
            if state.share and time.monotonic() - last < _SECONDS_BETWEEN_FRAMES:
                return
            last = time.monotonic()
            bar.update(
                task,
                completed=state.epoch + state.share,
                total=state.epochs,
                description=_describe(state),
                done=_epochs(state),
            )

        yield show


def _lines(stderr: Console) -> ProgressCallback:
    last = time.monotonic()

    def show(state: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            stderr.print(f"epoch {_epochs(state)}: {_describe(state)}", markup=False)

    return show


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
