"""Ctrl-C: one line within a second, whatever is being computed, and exit code 130.

Python raises `KeyboardInterrupt` in the main thread, and only once that thread is back in Python: a
decomposition of a large matrix, or the wait for threads that compute, may take a minute. So the
signal also wakes a thread, which ends the process where the main thread has not.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import typer

from dlgen_cli.processes import process_rank

EXIT_INTERRUPTED = 130
_GRACE = 0.5  # seconds for the main thread to clean up
_CLEAR_LINE_AND_SHOW_CURSOR = "\r\x1b[2K\x1b[?25h"


@contextmanager
def answering_interruptions(kept: Callable[[], str]) -> Iterator[None]:
    """Answer Ctrl-C within the block.

    Files are written whole or not at all, so the process may end at any time.

    Args:
        kept: the line that says what was kept.

    Raises:
        typer.Exit: with 130, where the main thread was interrupted in time.
    """
    answer = _Answer(kept)
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, answer), daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        answer.give()
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        signal.set_wakeup_fd(before)
        writer.close()


class _Answer:
    """A line that is said once."""

    def __init__(self, kept: Callable[[], str]) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._is_given = False

    def give(self, *, at_end: bool = False) -> None:
        """Say it; ``at_end``, no other thread writes after it, such as one that draws a bar."""
        with self._lock:
            if self._is_given or process_rank() > 0:
                return
            self._is_given = True
            start = _CLEAR_LINE_AND_SHOW_CURSOR if sys.stderr.isatty() else ""
            stream = _taken_from_others(sys.stderr) if at_end else sys.stderr
            stream.write(f"{start}{self._kept()}\n")
            stream.flush()


def _taken_from_others(stream: TextIO) -> TextIO:
    """Where a stream led; what is written to the stream itself from now on is lost."""
    own = os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors=stream.errors)
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return own


def _watch(reader: socket.socket, answer: _Answer) -> None:
    """End the process a moment after Ctrl-C; return once the other end is closed."""
    with reader:
        while signals := reader.recv(1):
            if signals[0] == signal.SIGINT:
                time.sleep(_GRACE)
                answer.give(at_end=True)
                os._exit(EXIT_INTERRUPTED)
