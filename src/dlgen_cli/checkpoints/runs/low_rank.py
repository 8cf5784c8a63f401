"""A weight as two factors, or whole, each rounded to b bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from dlgen_cli.checkpoints.runs.quantizer import Quantized, quantize


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """``W' = U V^T`` with the rows of W as U's rows; shapes ``(o, r)`` and ``(i, r)``."""

    left: Quantized
    right: Quantized
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        """R."""
        return self.left.shape[1]

    @property
    def stored_bits(self) -> int:
        """Both factors with their scales."""
        return self.left.stored_bits + self.right.stored_bits

    def weight(self) -> torch.Tensor:
        """The product in the weight's shape, float64; see `rounding_upper`."""
        return (self.left.values() @ self.right.values().mT).reshape(self.shape)

    def turned(self) -> Factors:
        """The transposed matrix."""
        return Factors(left=self.right, right=self.left, shape=self.shape[::-1])

    def copy(self) -> Factors:
        """The same with bytes of its own."""
        return replace(self, left=self.left.copy(), right=self.right.copy())

    def rounding_magnitude(self) -> torch.Tensor:
        """``|U| |V|^T`` in the weight's shape: what rounding of the product is relative to."""
        return (self.left.values().abs_() @ self.right.values().abs_().mT).reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A weight that is stored as it is, rounded."""

    entries: Quantized

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        return self.entries.shape

    @property
    def rank(self) -> int:
        """``min(o, i)`` of the weight as a matrix."""
        return min(self.shape[0], math.prod(self.shape[1:])) if self.shape else 1

    @property
    def stored_bits(self) -> int:
        """The entries with their scale."""
        return self.entries.stored_bits

    def weight(self) -> torch.Tensor:
        """The entries, float64."""
        return self.entries.values()

    def turned(self) -> Whole:
        """The transposed matrix."""
        return Whole(entries=self.entries.turned())

    def copy(self) -> Whole:
        """The same with bytes of its own."""
        return replace(self, entries=self.entries.copy())

    def rounding_magnitude(self) -> torch.Tensor:
        """``|W'|``: what rounding of the entries is relative to."""
        return self.weight().abs_()


def store_factors(weight: torch.Tensor, rank: int, bits: int) -> Factors:
    """Factor the best rank-r approximation and round the factors to b bits.

    The singular values are shared evenly between the factors, so that neither needs the finer
    grid.

    Args:
        weight: shape ``(o, ...)``, taken as a matrix of o rows.
        rank: r, from 1 to ``min(o, i)``.
        bits: b, from 1 to 32.
    """
    matrix = weight.to(torch.float64).flatten(start_dim=1)
    left, values, right_t = torch.linalg.svd(matrix, full_matrices=False)
    roots = values[:rank].sqrt()
    return Factors(
        left=quantize(left[:, :rank] * roots, bits),
        right=quantize(right_t[:rank].mT * roots, bits),
        shape=tuple(weight.shape),
    )


def store_whole(weight: torch.Tensor, bits: int) -> Whole:
    """Round a weight to b bits without factoring it."""
    return Whole(entries=quantize(weight, bits))
