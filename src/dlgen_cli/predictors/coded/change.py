"""The change from a base network to a tuned one, in as few bits as it takes.

What is written is read with the base at hand, so only differences cost: each coordinate's change is
divided by the root mean square of the base's tensor, taken as it is or as low-rank factors, rounded
to multiples of one step, and the multiples go through the arithmetic coder, one model for each
tensor or factor. Tensors that did not change are left out.

Layout: unsigned LEB128 numbers, then the coder's bytes.

====================  ==========================================================================
rank                  of the factors; 0 for whole tensors
step                  ``zigzag(j)``: the step is ``2^(j/4)``
changed               one bit for each tensor of the base, in order
largest               K: multiples are from -K to K; only where something changed
length                bytes of the multiples; likewise
multiples             `arithmetic_coder`
====================  ==========================================================================

The code tells its own length, so codes are a prefix code for each base.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.checkpoints.runs.posterior_file import root_mean_squares
from dlgen_cli.predictors.coded.arithmetic_coder import encode, ideal_bits
from dlgen_cli.predictors.coded.code_file import leb128, step_of, zigzag

_MOST_SYMBOLS = 1 << 22
_MOST_LEVEL = 1 << 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change as it is written, and the network that a reader gets.

    Attributes:
        rank: of the factors; None for whole tensors.
        exponent: j; the step is ``2^(j/4)``.
        levels: by tensor that changed: its multiples, or those of its two factors.
        tensors: of the base, in their order.
        decoded: base and change together, float32, by tensor that changed.
    """

    rank: int | None
    exponent: int
    levels: Mapping[str, Sequence[Tensor]]
    tensors: Sequence[str]
    decoded: Mapping[str, Tensor]

    @property
    def largest(self) -> int:
        """The largest multiple."""
        return max((int(part.abs().max()) for part in self._parts), default=0)

    @property
    def is_writable(self) -> bool:
        """Whether it is small enough for the coder."""
        symbols = sum(part.numel() for part in self._parts)
        return symbols <= _MOST_SYMBOLS and self.largest <= _MOST_LEVEL

    @property
    def _parts(self) -> list[Tensor]:
        return [part for parts in self.levels.values() for part in parts]

    def bits_estimate(self) -> float:
        """What the coder's models make of the multiples, in bits; the code is a little longer."""
        size = 2 * self.largest + 1
        counts = [
            torch.bincount(part.flatten() + self.largest, minlength=size) for part in self._parts
        ]
        return sum(ideal_bits(one.tolist()) for one in counts)

    def write(self) -> bytes:
        """The whole code."""
        flags = [name in self.levels for name in self.tensors]
        header = leb128(self.rank or 0) + leb128(zigzag(self.exponent))
        header += np.packbits(np.array(flags, dtype=bool)).tobytes()
        if not self.levels:
            return header
        parts, largest = self._parts, self.largest
        symbols = torch.cat([part.flatten() for part in parts]) + largest
        contexts = np.repeat(np.arange(len(parts)), [part.numel() for part in parts])
        payload = encode(symbols.tolist(), contexts.tolist(), 2 * largest + 1)
        return header + leb128(largest) + leb128(len(payload)) + payload


def code_change(
    base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], *, rank: int | None, exponent: int
) -> Change:
    """Round a change.

    Args:
        base: coordinates by name, float32.
        tuned: the same names and shapes.
        rank: of factors, where these have fewer entries than the tensor; None takes none.
        exponent: j of the step ``2^(j/4)``, in units of each tensor's root mean square.
    """
    scales, step = root_mean_squares(base), step_of(exponent)
    levels: dict[str, list[Tensor]] = {}
    decoded: dict[str, Tensor] = {}
    for name, start in base.items():
        change = (tuned[name].double() - start.double()) / scales[name]
        matrix = change.flatten(1) if change.ndim > 1 else change[None]
        factors = [matrix]
        if rank is not None and takes_factors(start, rank):
            left, values, right = torch.linalg.svd(matrix, full_matrices=False)
            roots = values[:rank].sqrt()
            factors = [left[:, :rank] * roots, roots[:, None] * right[:rank]]
        rounded = [(one / step).round().to(torch.int64) for one in factors]
        if not all(one.any() for one in rounded):
            continue
        read = [one.double() * step for one in rounded]
        product = read[0] if len(read) == 1 else read[0] @ read[1]
        levels[name] = rounded
        moved = start.double() + scales[name] * product.reshape(start.shape)
        decoded[name] = moved.to(start.dtype)
    return Change(rank=rank, exponent=exponent, levels=levels, tensors=tuple(base), decoded=decoded)


def takes_factors(tensor: Tensor, rank: int) -> bool:
    """Whether factors of this rank have fewer entries than the tensor."""
    rows, columns = len(tensor), math.prod(tensor.shape[1:])
    return tensor.ndim > 1 and rank * (rows + columns) < rows * columns
