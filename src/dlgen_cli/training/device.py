"""Where a run computes, and the arithmetic that makes it repeatable there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dlgen_cli.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device that an option names.

    Args:
        name: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best one present.

    Returns:
        The device.

    Raises:
        UsageError: the device is not present.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, found in present.items() if found))
    if not present[name]:
        raise UsageError(
            f"--device {name} is not present: torch finds no such device.",
            remedy="Give --device cpu, or auto.",
        )
    return torch.device(name)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, then restore the number of threads.

    Sums split over threads round differently, so the bytes of a run would depend on the number
    of cores. For matrices of this size one thread is not slower either.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
