"""Sums of squares and largest entries of tensors, with their rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.rounding import SLACK, UNIT_ROUNDOFF, gamma

_BLOCK = 1 << 14  # entries for each partial sum; their error is gamma(_BLOCK), about 2e-12
_FACTORS = 512  # mantissas in one product
_CHUNK = 1 << 16  # entries that are widened at once, in the cache; a multiple of _BLOCK


def _partial_sums(flat: torch.Tensor) -> list[float]:
    """Sums of squares of blocks, each within gamma(_BLOCK + 2) relative."""
    whole = flat.numel() // _BLOCK * _BLOCK
    sums = flat[:whole].reshape(-1, _BLOCK).square().sum(dim=1).tolist()
    if whole < flat.numel():
        sums.append(float(flat[whole:].square().sum()))
    return sums


def sum_of_squares(tensor: torch.Tensor) -> Interval:
    """Enclose ``sum x_i^2``.

    Args:
        tensor: floating point, any shape, finite.

    Returns:
        Bounds within 1e-11 relative; exactly 0 only for the zero tensor. Squares that overflow
        give an infinite upper end.
    """
    flat = tensor.reshape(-1)
    total = math.fsum(
        part for some in torch.split(flat, _CHUNK) for part in _partial_sums(some.to(torch.float64))
    )
    error = gamma(_BLOCK + 4) * SLACK
    is_zero = total == 0.0 and largest_magnitude(flat) == 0.0
    lost = 0.0 if is_zero else math.ulp(0.0) * flat.numel()  # in either direction
    return Interval(lower=max(0.0, total * (1 - error) - lost), upper=total * (1 + error) + lost)


def root(squares: Interval) -> Interval:
    """Enclose the square root."""
    return Interval(
        lower=math.sqrt(squares.lower) / SLACK,
        upper=math.sqrt(squares.upper) * SLACK,
    )


def row_norms(matrix: torch.Tensor) -> torch.Tensor:
    """Euclidean norms of the rows, float64, computed as they come.

    Args:
        matrix: shape ``(o, i)``, floating point, at least one entry.
    """
    found = torch.empty(matrix.shape[0], dtype=torch.float64, device=matrix.device)
    some = max(1, _CHUNK // matrix.shape[1])
    for rows, norms in zip(torch.split(matrix, some), torch.split(found, some), strict=True):
        torch.linalg.vector_norm(rows.to(torch.float64), dim=1, out=norms)
    return found


def squared_distance_upper(left: torch.Tensor, right: torch.Tensor) -> float:
    """Upper bound on ``||left - right||_2^2``, within 1e-11 relative; 0 only where equal.

    Args:
        left: floating point, any shape, finite.
        right: of the same shape.
    """
    difference = left.to(torch.float64) - right.to(torch.float64)
    return sum_of_squares(difference).upper * (1 + gamma(4))


def largest_magnitude(tensor: torch.Tensor) -> float:
    """``max |x_i|``, exact; 0 for an empty tensor."""
    if tensor.numel() == 0:
        return 0.0
    largest = 0.0
    for some in torch.split(tensor.reshape(-1), _CHUNK):
        # float8 types have no order of their own; float32 holds them exactly
        least, most = (some.float() if some.dtype.itemsize == 1 else some).aminmax()
        largest = max(largest, -float(least), float(most))
    return largest


def sum_up(parts: Sequence[float]) -> float:
    """Sum of nonnegative floats, rounded upward."""
    return math.nextafter(math.fsum(parts), math.inf) if any(parts) else 0.0


def log_sum_lower(tensor: torch.Tensor) -> float:
    """Lower bound on ``sum ln x_i``, within ``n 2^-51 + 1e-15 |sum|``, n the number of entries.

    By products of mantissas and sums of exponents: no logarithm but that of one number is taken.

    Args:
        tensor: floating point, any shape, finite and above 0.
    """
    mantissas = tensor.reshape(-1).to(torch.float64)
    exponent, products = 0, mantissas.numel()
    if products == 0:
        return 0.0
    while True:
        mantissas, exponents = torch.frexp(mantissas)  # in [1/2, 1)
        exponent += int(exponents.to(torch.int64).sum())
        if mantissas.numel() == 1:
            break
        padding = -mantissas.numel() % _FACTORS
        mantissas = torch.nn.functional.pad(mantissas, (0, padding), value=1.0)
        mantissas = mantissas.reshape(-1, _FACTORS).prod(dim=1)  # at least 2^-_FACTORS
    with localcontext(prec=40):
        last = Decimal(float(mantissas[0]))
        exact = last.ln() + exponent * Decimal(2).ln()
        lost = Decimal(2 * products * UNIT_ROUNDOFF)  # fewer than 2 n products, each rounded once
        lower = exact - lost - (1 + abs(exponent)) * Decimal("1e-30")
        return math.nextafter(float(lower), -math.inf)
