"""Programs in processes of their own, forked from one that has imported torch already.

A process that is killed, interrupted, or one of two is a real one; only its imports are shared.
"""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["dlgen_cli.audit.audit", "dlgen_cli.training", "sklearn.datasets", "torch._dynamo"]
)


def start(words: list[str], output: Path, environment: dict[str, str] | None = None) -> BaseProcess:
    """Start ``dlgen words...``, or a script if the first word names one.

    Args:
        words: the command line.
        output: standard output goes to this file, standard error to the same with ``.err``.
        environment: on top of this process's.
    """
    given = dict(os.environ) | (environment or {})
    process = _CONTEXT.Process(target=_become, args=(words, str(output), given))
    process.start()
    return process


def start_two(words: list[str], output: Path) -> list[BaseProcess]:
    """Start two processes of one run, as ``torchrun`` does; ``-0`` and ``-1`` end their files."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        start(words, Path(f"{output}-{rank}"), shared | {"RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]


def finish(process: BaseProcess) -> int:
    """Wait for a process: its exit code, negative for a signal."""
    process.join(timeout=300)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode is not None
    return process.exitcode


def _become(words: list[str], output: str, environment: dict[str, str]) -> None:
    import torch

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, output), (2, f"{output}.err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    if words[0].endswith(".py"):
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")
    else:
        sys.argv = ["dlgen", *words]
        runpy.run_module("dlgen_cli", run_name="__main__")
