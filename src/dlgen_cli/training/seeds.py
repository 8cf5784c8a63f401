"""One random generator for each purpose, all derived from the one seed of the run."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """Make a generator on the CPU that depends on the three arguments and on nothing else.

    The global generator is neither read nor advanced.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, for example ``init``.
        number: a counter within the purpose, for example the epoch.

    Returns:
        A fresh generator at the start of its stream.
    """
    digest = hashlib.sha256(f"dlgen/{seed}/{purpose}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
