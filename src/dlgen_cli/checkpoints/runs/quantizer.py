"""Tensors in b bits for each entry, and what they cost.

32 bits: IEEE float32. 16 bits: IEEE float16. Any other b from 1 to 31: a uniform grid, symmetric
about 0, with ``2^b`` levels ``scale (2 code - (2^b - 1))``. Every tensor has one scale, the upper
32 bits of a float64, which are counted; for the floats it is a power of two that keeps the largest
entry in range, so that neither large nor tiny weights are lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from dlgen_cli.errors import UsageError
from dlgen_cli.records import MOST_STORED_BITS, SCALE_BITS

_BLOCK = 1 << 18  # codes that are packed at a time
_SAFE_IN_FLOAT32 = (2.0**-60, 2.0**127)  # largest entries that need no scale

_LARGEST_UPPER_HALF = 0x7FEF_FFFF  # of a finite float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A tensor as it is stored.

    Attributes:
        bits: b, for each entry.
        shape: of the tensor.
        payload: uint8 bytes of the codes, packed without gaps (big-endian within each entry), or
            the bytes of the floats (little-endian).
        scale: multiplies the grid or the floats.
    """

    bits: int
    shape: tuple[int, ...]
    payload: torch.Tensor
    scale: float

    @property
    def stored_bits(self) -> int:
        """Everything that the tensor costs: its entries and its scale."""
        return self.bits * math.prod(self.shape) + SCALE_BITS

    def copy(self) -> Quantized:
        """The same with bytes of its own."""
        return replace(self, payload=self.payload.clone())

    def turned(self) -> Quantized:
        """The same matrix with its axes in the other order."""
        raw = self.payload.numpy()
        if self.bits in {16, 32}:
            entries = raw.view(f"<u{self.bits // 8}").reshape(self.shape).T
            packed = np.ascontiguousarray(entries).reshape(-1).view(np.uint8)
        else:
            codes = _unpack(raw, self.bits, math.prod(self.shape)).reshape(self.shape).T
            packed = _pack(_blocks(codes.reshape(-1)), self.bits)
        return replace(self, shape=self.shape[::-1], payload=torch.from_numpy(packed.copy()))

    def values(self) -> torch.Tensor:
        """The stored numbers, float64.

        Exact for 16 and 32 bits; otherwise each within two roundings of float64.
        """
        raw = self.payload.numpy()
        if self.bits == 32:
            floats = raw.view("<f4").astype(np.float64) * self.scale
        elif self.bits == 16:
            floats = raw.view("<f2").astype(np.float64) * self.scale
        else:
            floats = _unpack(raw, self.bits, math.prod(self.shape))
            floats *= 2.0
            floats -= 2.0**self.bits - 1.0
            floats *= self.scale
        return torch.from_numpy(floats).reshape(self.shape)


def require_bits(bits: int) -> None:
    """Refuse a width that cannot be stored.

    Raises:
        UsageError: b is below 1 or above 32.
    """
    if not 1 <= bits <= MOST_STORED_BITS:
        raise UsageError(
            f"b is {bits}; 1 to {MOST_STORED_BITS} bits for each parameter can be stored.",
            remedy="Try --b 8.",
        )


def quantize(tensor: torch.Tensor, bits: int) -> Quantized:
    """Round a tensor to b bits for each entry.

    Args:
        tensor: floating point, any shape, finite.
        bits: from 1 to 32.

    Returns:
        The nearest level for each entry.

    Raises:
        UsageError: b is out of its range.
    """
    require_bits(bits)
    values = tensor.detach().to("cpu", torch.float64).numpy()
    largest = float(max(values.max(), -values.min())) if values.size else 0.0
    scale = 1.0
    if bits == 32:
        if not _SAFE_IN_FLOAT32[0] <= largest <= _SAFE_IN_FLOAT32[1]:
            scale = _power_of_two(largest)
        raw = np.ascontiguousarray((values / scale).astype("<f4"))
    elif bits == 16:
        scale = _power_of_two(largest)
        raw = np.ascontiguousarray((values / scale).astype("<f2"))
    else:
        levels = 2**bits - 1
        scale = _in_32_bits(largest / levels)  # 0 for the zero tensor, which is stored exactly
        divisor, blocks = scale or 1.0, _blocks(values.reshape(-1))
        codes = (np.clip(np.rint((x / divisor + levels) / 2), 0, levels) for x in blocks)
        raw = _pack(codes, bits)
    payload = torch.from_numpy(raw.reshape(-1).view(np.uint8).copy())
    return Quantized(bits=bits, shape=tuple(tensor.shape), payload=payload, scale=scale)


def _in_32_bits(scale: float) -> float:
    """The float64 at or above, by 2^-20 relative at most, whose lower 32 bits are 0."""
    above = (int(np.array(scale).view(np.uint64)) + 2**32 - 1) >> 32
    above = min(above, _LARGEST_UPPER_HALF)
    return float(np.array(above << 32, np.uint64).view(np.float64))


def _power_of_two(largest: float) -> float:
    """The power of two that brings ``largest`` to [1, 2); 1 for 0."""
    return 2.0 ** (math.frexp(largest)[1] - 1) if largest else 1.0


def _blocks(flat: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of whole bytes: all but the last have a multiple of 8 codes."""
    return (flat[start : start + _BLOCK] for start in range(0, len(flat), _BLOCK))


def _pack(blocks: Iterable[np.ndarray], bits: int) -> np.ndarray:
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    packed = [np.zeros(0, np.uint8)]
    for block in blocks:
        if bits == 8:
            packed.append(block.astype(np.uint8))
            continue
        digits = (block.astype(np.uint64)[:, None] >> shifts) & np.uint64(1)
        packed.append(np.packbits(digits.astype(np.uint8).reshape(-1)))
    return np.concatenate(packed)


def _unpack(raw: np.ndarray, bits: int, count: int) -> np.ndarray:
    if bits == 8:
        return raw.astype(np.float64)
    weights = 2.0 ** np.arange(bits - 1, -1, -1)
    codes = np.empty(count)
    for start in range(0, count, _BLOCK):
        stop = min(count, start + _BLOCK)
        part = raw[start * bits // 8 : -(-stop * bits // 8)]
        digits = np.unpackbits(part, count=(stop - start) * bits).reshape(-1, bits)
        codes[start:stop] = digits @ weights
    return codes
