"""Products of large matrices, summed tile by tile in bounded memory.

Every entry is summed over blocks of at most `BLOCK` products each, and the sums of the blocks are
added one after another. With ``p`` products its rounding error is below ``product_error(p)`` times
the sum of magnitudes, the entry that it is added to among them, in whatever order the library sums
a block (Higham 2002, "Accuracy and Stability of Numerical Algorithms", sections 3.1 and 4.2).

Symmetric results are computed, read and measured in their lower triangle alone. What stands above
the diagonal means nothing until `mirror` has filled it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from dlgen_cli.spectra.rounding import SLACK, UNDERFLOW, gamma

#: Products that one call of the library may sum in any order.
BLOCK = 512
_NARROW = 96  # columns of a tile of a small matrix; a large one takes a multiple
_TILES = 8


def product_error(products: int) -> float:
    """Relative error of an entry that sums so many products and one number more."""
    return gamma(min(products, BLOCK) + -(-products // BLOCK) + 1)


def add_product(target: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add ``left right^T`` to the lower triangle of ``target``, in place.

    Args:
        target: shape ``(n, n)``, float64.
        left: shape ``(n, k)``, float64.
        right: shape ``(n, k)``, float64.
    """
    for start, end in column_tiles(target.shape[0]):
        for first in range(0, left.shape[1], BLOCK):
            terms = slice(first, first + BLOCK)
            target[start:, start:end] += left[start:, terms] @ right[start:end, terms].mT


def subtract_triangle_product(target: torch.Tensor, lower: torch.Tensor) -> None:
    """Subtract ``L L^T`` from the lower triangle of ``target``, in place.

    Args:
        target: shape ``(n, n)``, float64.
        lower: L, of the same shape, lower triangular; its zeros cost nothing.
    """
    for start, end in column_tiles(target.shape[0]):
        for first in range(0, end, BLOCK):
            terms = slice(first, min(first + BLOCK, end))
            target[start:, start:end] -= lower[start:, terms] @ lower[start:end, terms].mT


def column_tiles(order: int) -> Iterator[tuple[int, int]]:
    """First and last column (exclusive) of every tile of a matrix with ``order`` columns."""
    width = _NARROW * max(1, round(order / _NARROW / _TILES))
    for start in range(0, order, width):
        yield start, min(start + width, order)


def mirror(target: torch.Tensor) -> None:
    """Copy the lower triangle onto the upper one, in place."""
    for start, end in column_tiles(target.shape[0]):
        corner = target[start:end, start:end]
        corner.copy_(corner.tril() + corner.tril(-1).mT)
        target[start:end, end:] = target[end:, start:end].mT


def symmetric_norm_upper(target: torch.Tensor) -> float:
    """Upper bound on the Frobenius norm of the symmetric matrix with this lower triangle."""
    squares = []
    for start, end in column_tiles(target.shape[0]):
        corner = target[start:end, start:end].tril()
        below = target[end:, start:end]
        squares += [float(corner.square().sum()), float(corner.tril(-1).square().sum())]
        squares += [2 * float(below.square().sum())]
    total = math.fsum(squares) * (1 + gamma(target.numel() + 2))
    return math.sqrt(total) * SLACK + UNDERFLOW


def column_squares(matrix: torch.Tensor) -> torch.Tensor:
    """Squared norms of the columns of a float64 matrix, within ``gamma(rows + 2)`` relative."""
    total = torch.zeros(matrix.shape[1], dtype=torch.float64, device=matrix.device)
    for rows in torch.split(matrix, BLOCK):
        total += rows.square().sum(dim=0)
    return total
