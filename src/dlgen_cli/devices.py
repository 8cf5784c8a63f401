"""Where computation runs: the device that a name stands for, and on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

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
def threads(count: int) -> Iterator[None]:
    """Compute on so many threads, then restore the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread() -> AbstractContextManager[None]:
    """Compute on one thread, then restore the number of threads.

    Sums split over threads round differently, so the bytes of a run would depend on the number
    of cores. For matrices of a hundred rows one thread is not slower either.
    """
    return threads(1)


# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next allocation, where it is glibc.

    By default every large tensor is mapped anew, and the system clears its pages each time: for
    the activations of a convolutional network at full resolution that took more than half of a
    training step on the CPU (measured with torch 2.15).
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library is glibc.

    It keeps what threads freed in pieces up to 32 MB: after the layers of a ResNet-18 were measured
    that was more than all of its weights, several times over.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> Any | None:
    import ctypes

    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:  # another C library
        return None
    return library if hasattr(library, "malloc_trim") else None


#: Entries of a weight above which its matrix products are worth several threads.
_WORTH_THREADS = 1_000_000


def threads_for(entries: int) -> AbstractContextManager[None]:
    """All threads for a large weight, one for a small one.

    On a busy machine the threads of a small product wait for each other: measured twenty times
    the time of the work on two shared cores.
    """
    return nullcontext() if entries > _WORTH_THREADS else one_thread()
