"""Progress of work on stderr: a bar with the time left; outside a terminal a line now and then.

The lines come from a thread of their own: a piece of work that takes minutes is no silence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlgen_cli.cli import console
from dlgen_cli.processes import process_rank

if TYPE_CHECKING:
    from rich.console import Console

    from dlgen_cli.cli.options import ReportOptions

#: Called as work gets done: what is done, pieces done, pieces in all. Another total, or fewer
#: pieces done than before, begins another phase.
ShowWork = Callable[[str, int, int], None]

SECONDS_BETWEEN_LINES = 15.0
_HOUR, _MINUTE = 3600, 60


@contextmanager
def showing_work(options: ReportOptions) -> Iterator[ShowWork]:
    """Show work on stderr while the block runs; nothing with ``--quiet``.

    Yields:
        Takes in what has been done; of several processes the first one shows it.
    """
    stderr = console.stderr()
    if options.quiet or process_rank() > 0:
        yield lambda _what, _done, _total: None
    elif stderr.is_terminal:
        with _bar(stderr) as show:
            yield show
    else:
        with writing_lines(stderr) as show:
            yield show


def duration(seconds: float) -> str:
    """Seconds, for people."""
    if seconds >= _HOUR:
        return f"{seconds / _HOUR:.1f} h"
    if seconds >= _MINUTE:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds:.0f} s"


@dataclass(slots=True)
class Work:
    """What is being done.

    Attributes:
        clock: the time in seconds.
        phases: how many have begun.
    """

    clock: Callable[[], float] = time.monotonic
    phases: int = 0
    _what: str = ""
    _done: int = 0
    _total: int = 0
    _since: float = field(default=0.0)

    def take(self, what: str, done: int, total: int) -> None:
        """Take in a report."""
        if not self.phases or total != self._total or done < self._done:
            self.phases += 1
            self._since = self.clock()
        self._what, self._done, self._total = what, done, total

    def line(self) -> str:
        """One line; empty before the first report."""
        if not self._what or not self._total:
            return self._what
        if self._done >= self._total:
            return f"{self._what}: done; the next step is under way"
        return f"{self._what}: {self.share()}"

    def share(self) -> str:
        """How much of the phase is done, and the time left; there must be something to do."""
        shown = f"{self._done / self._total:.0%} done"
        if not self._done:
            return shown
        left = (self.clock() - self._since) * (self._total - self._done) / self._done
        return f"{shown}, about {duration(left)} left"


@contextmanager
def writing_lines(stderr: Console) -> Iterator[ShowWork]:
    """Write a line every `SECONDS_BETWEEN_LINES` on what goes on; none where that has no name."""
    work, ended = Work(), threading.Event()
    work.take("starting", 0, 0)

    def write() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            if line := work.line():
                stderr.print(line, markup=False)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield work.take
    finally:
        ended.set()
        writer.join()


@contextmanager
def _bar(stderr: Console) -> Iterator[ShowWork]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    work = Work()
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            before = work.phases
            work.take(what, done, total)
            if work.phases > before:
                bar.reset(task, total=total)
            bar.update(task, description=what, completed=done, total=total)

        yield show
