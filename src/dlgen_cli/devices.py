"""Where computation runs: the device that a name stands for, and on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str) -> torch.device:
    """Find the device for a name.

    Args:
        name: ``cpu``, ``cuda`` (or ``cuda:1``), ``mps``, or ``auto`` for the best one present.

    Raises:
        UsageError: the name is unknown, or this machine has no such device.
    """
    import torch

    kind = name.split(":", maxsplit=1)[0]
    if kind not in DEVICES:
        raise UsageError(
            f"The device {name!r} is unknown; {', '.join(DEVICES)} were expected.",
            remedy="Try --device auto.",
        )
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[kind]:
        raise UsageError(
            f"--device {name} was given, but torch finds no {kind} device on this machine.",
            remedy="Try --device auto.",
        )
    return torch.device(name)


def resolve_float64_device(name: str) -> torch.device:
    """As `resolve_device`, for work in float64, which ``mps`` lacks: there, the CPU."""
    import torch

    device = resolve_device(name)
    return torch.device("cpu") if device.type == "mps" else device


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, then restore the number of threads.

    Sums split over threads round differently, so the bytes of a run would depend on the number
    of cores. For matrices of a hundred rows one thread is not slower either.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


#: Entries of a weight above which its matrix products are worth several threads.
_WORTH_THREADS = 1_000_000


def threads_for(entries: int) -> AbstractContextManager[None]:
    """All threads for a large weight, one for a small one.

    On a busy machine the threads of a small product wait for each other: measured twenty times
    the time of the work on two shared cores.
    """
    return nullcontext() if entries > _WORTH_THREADS else one_thread()
