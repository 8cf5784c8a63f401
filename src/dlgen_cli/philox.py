"""Numbers that a seed gives on every machine: raw words of Philox, and exact arithmetic.

numpy keeps the stream of raw words of its bit generators for good, but not that of its
distributions; nothing here uses a distribution of numpy. The key is a SHA-256 digest of the seed
and the purpose, so that different purposes share no word.

Source: Salmon and others 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox-4x64-10).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def words(seed: int, purpose: str, count: int) -> npt.NDArray[np.uint64]:
    """The first words of the stream that seed and purpose name.

    Args:
        seed: at least 0.
        purpose: what the words are for.
        count: how many.

    Returns:
        uint64, shape ``(count,)``, uniform.
    """
    digest = hashlib.sha256(f"dlgen/coded/{seed}/{purpose}".encode()).digest()
    key = int.from_bytes(digest[:16], "big")
    return np.asarray(np.random.Philox(key=key).random_raw(count), dtype=np.uint64)


def uniform(seed: int, purpose: str, count: int) -> npt.NDArray[np.float64]:
    """Numbers in [-1, 1): multiples of ``2^-52``, so that no rounding happens.

    Args:
        seed: at least 0.
        purpose: what they are for.
        count: how many.
    """
    high = (words(seed, purpose, count) >> np.uint64(11)).astype(np.float64)
    result: npt.NDArray[np.float64] = high * 2.0**-52 - 1.0
    return result


def normal(seed: int, purpose: str, count: int) -> npt.NDArray[np.float64]:
    """Sums of twelve uniform numbers of variance 1/12: nearly standard normal, and exact.

    Args:
        seed: at least 0.
        purpose: what they are for.
        count: how many.
    """
    result: npt.NDArray[np.float64] = uniform(seed, purpose, 12 * count).reshape(count, 12).sum(1)
    return result / 2
