"""Singular values of dense matrices, enclosed.

Small matrices are decomposed as ``W ~ U S V^T``, larger ones through their Gram matrix
(`dlgen_cli.spectra.gram`). A computed decomposition is only a witness. What it proves is read off
its residuals: with ``R = W - U S V^T``, ``a = ||I - U^T U||`` and ``b = ||I - V^T V||``,

    s_j sqrt((1 - a)(1 - b)) - ||R||  <=  sigma_j(W)  <=  s_j sqrt((1 + a)(1 + b)) + ||R||

by Weyl's inequality and ``sigma_j(ABC) <= ||A|| sigma_j(B) ||C||`` (Horn and Johnson 1991,
"Topics in Matrix Analysis", Theorems 3.3.16 and 3.3.14). The residuals are evaluated in float64
and their own rounding is added, so nothing rests on the accuracy of the decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.gram import all_eigenvalues, gram_matrix, largest_eigenvalue
from dlgen_cli.spectra.rounding import SLACK, UNDERFLOW, gamma
from dlgen_cli.spectra.sums import largest_magnitude

_SMALL_ORDER = 128  # up to this the matrix itself is decomposed, for sharp small values
_SMALL_ENTRIES = 1 << 18
_LARGEST_DECOMPOSED = 1 << 22  # entries up to which a rank-deficient matrix is decomposed


def singular_value_bounds(
    matrix: torch.Tensor, device: torch.device | None = None
) -> Sequence[Interval]:
    """Enclose all singular values of a matrix.

    Args:
        matrix: shape ``(o, i)``, floating point, finite.
        device: where to compute, in float64; the matrix's own where not given.

    Returns:
        ``min(o, i)`` intervals, descending. Of a small matrix or one that looks rank-deficient,
        about ``1e-13`` of the largest wide for a hundred rows, in proportion to the size. Of
        others within ``1e-9`` relative at the largest, and wider the smaller a value is; see
        `dlgen_cli.spectra.gram`. Ends that leave the float range are 0 or inf.
    """
    if matrix.numel() == 0:
        return ()
    largest = largest_magnitude(matrix)
    if largest == 0.0:
        return tuple(Interval(lower=0.0, upper=0.0) for _ in range(min(matrix.shape)))
    if _is_small(matrix):
        return _by_decomposition(matrix, device)
    gram = gram_matrix(matrix, device, largest=largest)
    found = [_root(one, gram.exponent) for one in all_eigenvalues(gram, matrix)]
    if found[-1].lower == 0.0 and matrix.numel() <= _LARGEST_DECOMPOSED:
        del gram
        return _by_decomposition(matrix, device)
    return found


def spectral_norm_bounds(matrix: torch.Tensor, device: torch.device | None = None) -> Interval:
    """Enclose the largest singular value alone: several times faster for a large matrix.

    Args:
        matrix: shape ``(o, i)``, at least one entry, floating point, finite.
        device: where to compute, in float64; the matrix's own where not given.

    Returns:
        Ends within ``1e-9`` relative of each other up to a few thousand rows. An end that leaves
        the float range is 0 or inf.
    """
    largest = 0.0 if _is_small(matrix) else largest_magnitude(matrix)
    if largest == 0.0:
        return singular_value_bounds(matrix, device)[0]
    gram = gram_matrix(matrix, device, largest=largest)
    return _root(largest_eigenvalue(gram), gram.exponent)


def _is_small(matrix: torch.Tensor) -> bool:
    """Whether a decomposition of the matrix itself costs little, in time and in memory."""
    return min(matrix.shape) <= _SMALL_ORDER and matrix.numel() <= _SMALL_ENTRIES


def _root(square: Interval, exponent: int) -> Interval:
    """``sqrt(square) 2^exponent``."""
    return Interval(
        lower=_scale(math.sqrt(square.lower) / SLACK, exponent, 0.0),
        upper=_scale(math.sqrt(square.upper) * SLACK, exponent, math.inf),
    )


def _by_decomposition(matrix: torch.Tensor, device: torch.device | None) -> Sequence[Interval]:
    """Enclosures from a singular value decomposition of a nonzero matrix."""
    wide = matrix.to(device=device, dtype=torch.float64)
    _, exponent = math.frexp(float(wide.abs().max()))  # largest = m 2^exponent, 1/2 <= m < 1
    half = exponent // 2  # in two steps: 2^-exponent alone may leave the floats
    scaled = wide * 2.0**-half * 2.0 ** (half - exponent)
    left, values, right_t = torch.linalg.svd(scaled, full_matrices=False)
    residual = _residual_norm(scaled, left, values, right_t)
    left_defect = _orthogonality_defect(left)
    right_defect = _orthogonality_defect(right_t.mT)
    widen = (1.0 + (left_defect + right_defect) / 2) * SLACK  # sqrt((1+a)(1+b)) <= 1 + (a+b)/2
    narrow = max(0.0, 1.0 - (left_defect + right_defect) * SLACK)
    return tuple(
        Interval(
            lower=_scale(max(0.0, (value * narrow - residual) / SLACK), exponent, 0.0),
            upper=_scale((value * widen + residual) * SLACK, exponent, math.inf),
        )
        for value in values.tolist()
    )


def _scale(value: float, exponent: int, direction: float) -> float:
    """``value 2^exponent``, rounded toward ``direction`` (0 or infinity)."""
    try:
        scaled = math.ldexp(value, exponent)
    except OverflowError:
        return math.inf if direction else math.nextafter(math.inf, 0.0)
    return math.nextafter(scaled, direction)


def _frobenius_upper(matrix: torch.Tensor) -> float:
    total = float(matrix.square().sum())
    return math.sqrt(total * (1 + gamma(matrix.numel() + 2))) * SLACK + UNDERFLOW


def _residual_norm(
    matrix: torch.Tensor, left: torch.Tensor, values: torch.Tensor, right_t: torch.Tensor
) -> float:
    """Upper bound on ``||W - U S V^T||_2``."""
    scaled_left = left * values
    computed = _frobenius_upper(matrix - scaled_left @ right_t)
    magnitude = _frobenius_upper(scaled_left.abs() @ right_t.abs())
    terms = values.numel()
    return (computed * (1 + gamma(1)) + gamma(terms + 4) * magnitude) * SLACK + UNDERFLOW


def _orthogonality_defect(columns: torch.Tensor) -> float:
    """Upper bound on ``||I - U^T U||_2`` for a tall U."""
    gram = columns.mT @ columns
    identity = torch.eye(columns.shape[1], dtype=gram.dtype, device=gram.device)
    computed = _frobenius_upper(gram - identity)
    magnitude = _frobenius_upper(columns.mT.abs() @ columns.abs())
    terms = columns.shape[0]
    return (computed * (1 + gamma(1)) + gamma(terms + 4) * magnitude) * SLACK + UNDERFLOW
