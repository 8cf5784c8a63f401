"""``python -m dlgen_cli`` and the console script ``dlgen``."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress

from dlgen_cli.cli.app import app

_COLLECTED = 10_000  # new objects after which the young ones are collected; importing makes many


def main() -> None:
    """Run the command line."""
    app()


def run() -> None:
    """`main` in a process of its own, which ends at once.

    Taking a process with torch apart takes Python a third of a second, and nothing is gained: what
    is registered to run at the end has run, and what was printed is flushed.
    """
    gc.set_threshold(_COLLECTED)
    try:
        main()
    except SystemExit as leaving:
        alone = all(one.daemon or one is threading.main_thread() for one in threading.enumerate())
        if not (isinstance(leaving.code, int) and alone):
            raise
        atexit._run_exitfuncs()  # noqa: SLF001 - it has no other name
        for stream in (sys.stdout, sys.stderr):
            with suppress(ValueError):  # it was closed
                stream.flush()
        os._exit(leaving.code)


if __name__ == "__main__":
    run()
