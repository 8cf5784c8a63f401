"""The Gram matrix of a large matrix, and what its eigenvalues prove of singular values.

For W of shape ``(o, i)`` let A be W or its transpose with at least as many rows as columns, and
``G = A^T A`` of order ``n = min(o, i)``. Products of float32 entries are exact in float64; the sums
round: the computed Gram matrix differs from G entrywise by at most ``e |A|^T |A|``, whose spectral
norm is at most ``e ||A||_F^2 = e trace(G)``. Two witnesses bound the eigenvalues of the computed
one. What they prove is read off residuals, evaluated in float64 with their own rounding added, so
nothing rests on the accuracy of a decomposition:

- All eigenvalues, from ``G ~ V L V^T`` with L diagonal. With ``r = ||G - V L V^T||`` and ``a =
  ||I - V^T V||`` the j-th one lies in ``l_j (1 -+ a) -+ r``, by Weyl's inequality and Ostrowski's
  theorem on congruences (Horn and Johnson 2013, "Matrix Analysis", Theorems 4.3.1 and 4.5.9).
- The largest one, from ``mu I - G ~ L L^T``. Since ``L L^T`` is positive semidefinite, it is at
  most ``mu + ||mu I - G - L L^T||``. (Rump 2006, "Verification of positive definiteness", BIT 46,
  https://doi.org/10.1007/s10543-006-0056-1, bounds that residual a priori, for a Cholesky
  factorisation that sums in the textbook's way; measured, it is smaller and holds for any L.) A
  Rayleigh quotient bounds it from below.

Squaring costs digits: a singular value below about ``1e-7`` of the largest is enclosed from 0 to
about there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.lanczos import leading_pair
from dlgen_cli.spectra.rounding import SLACK, UNDERFLOW, UNIT_ROUNDOFF, gamma
from dlgen_cli.spectra.sums import largest_magnitude
from dlgen_cli.spectra.tiles import (
    BLOCK,
    add_product,
    column_squares,
    mirror,
    product_error,
    subtract_triangle_product,
    symmetric_norm_upper,
)

_MODERATE = 200  # entries within 2^-200 and 2^200 are squared and summed as they are
_MARGIN = 1e-10  # how far above its estimate the largest eigenvalue is tested first, relative
_RETREAT = 16.0  # how much further after a test that failed
_INVERSE_STEPS = 4
_KEPT = 1 << 20  # entries of a Gram matrix that is kept beside its decomposition


@dataclass(frozen=True, slots=True)
class GramMatrix:
    """A computed Gram matrix.

    Attributes:
        matrix: shape ``(n, n)``, float64, exactly symmetric: about ``A^T A / 4^exponent``.
        error_upper: bounds the spectral norm of its error.
        exponent: W was divided by ``2^exponent``.
    """

    matrix: torch.Tensor
    error_upper: float
    exponent: int


def gram_matrix(
    weight: torch.Tensor, device: torch.device | None = None, *, largest: float | None = None
) -> GramMatrix:
    """Compute the Gram matrix on the smaller side.

    Args:
        weight: W, shape ``(o, i)``, any floating type, finite. It is widened block by block.
        device: where to compute; its own where not given.
        largest: magnitude of an entry, where that is known.
    """
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.mT
    rows, order = tall.shape
    exponent = _exponent(largest_magnitude(weight) if largest is None else largest)
    half = exponent // 2  # in two steps: 2^-exponent alone may leave the floats
    matrix = torch.zeros(order, order, dtype=torch.float64, device=device or weight.device)
    for start in range(0, rows, BLOCK):
        block = tall[start : start + BLOCK].to(device=matrix.device, dtype=torch.float64)
        if exponent:
            block = block * 2.0**-half * 2.0 ** (half - exponent)
        add_product(matrix, block.mT, block.mT)
    mirror(matrix)
    relative = product_error(rows)
    trace = math.fsum(matrix.diagonal().tolist())
    error = relative / (1 - relative) * trace * SLACK + UNDERFLOW
    return GramMatrix(matrix, error, exponent)


def _exponent(largest: float) -> int:
    """0 where squares stay well inside the floats, else that of the largest magnitude."""
    exponent = math.frexp(largest)[1]
    return exponent if abs(exponent) > _MODERATE else 0


def all_eigenvalues(gram: GramMatrix, weight: torch.Tensor) -> list[Interval]:
    """Enclose all eigenvalues of ``A^T A / 4^exponent``.

    Cost: one decomposition and two products of half a square each. A large Gram matrix is computed
    once more rather than kept, so that three of its size are in memory at most.

    Args:
        gram: of W; its matrix is overwritten.
        weight: W, for the second time.

    Returns:
        n intervals, descending.
    """
    kept = gram.matrix.clone() if gram.matrix.numel() <= _KEPT else None
    vectors = gram.matrix.mT  # column by column, as the library takes it
    values = torch.empty(len(vectors), dtype=torch.float64, device=vectors.device)
    torch.linalg.eigh(vectors, out=(values, vectors))
    error = gram.error_upper
    if kept is None:
        again = gram_matrix(weight, vectors.device)
        kept, error = again.matrix, again.error_upper
        del again
    loss = _residual_norm(kept, values, vectors) + error
    del kept
    defect = _orthogonality_defect(vectors)
    narrow = max(0.0, 1 - defect * SLACK)
    return [
        Interval(
            lower=max(0.0, (value * narrow - loss * SLACK) / SLACK),
            upper=(value * (1 + defect) + loss) * SLACK,
        )
        for value in (max(0.0, value) for value in sorted(values.tolist(), reverse=True))
    ]


def _residual_norm(gram: torch.Tensor, values: torch.Tensor, vectors: torch.Tensor) -> float:
    """Upper bound on ``||G - V L V^T||_2``; G is overwritten."""
    order = len(values)
    magnitude = float((column_squares(vectors) * values.abs()).sum())  # || |V| |L| |V|^T ||
    magnitude += symmetric_norm_upper(gram)
    add_product(gram, vectors * -values, vectors)
    rounding = product_error(order) + gamma(2)
    rounded = rounding * magnitude * (1 + gamma(2 * order + 8))
    return (symmetric_norm_upper(gram) + rounded) * SLACK + UNDERFLOW


def _orthogonality_defect(vectors: torch.Tensor) -> float:
    """Upper bound on ``||I - V^T V||_2``."""
    order = vectors.shape[1]
    defect = torch.zeros(order, order, dtype=torch.float64, device=vectors.device)
    defect.diagonal().fill_(-1.0)
    add_product(defect, vectors.mT, vectors.mT)
    magnitude = float(column_squares(vectors).sum()) + order  # || |V|^T |V| || + ||I||
    rounded = product_error(order) * magnitude * (1 + gamma(2 * order + 8))
    return (symmetric_norm_upper(defect) + rounded) * SLACK + UNDERFLOW


def largest_eigenvalue(gram: GramMatrix) -> Interval:
    """Enclose the largest eigenvalue of ``A^T A / 4^exponent``.

    Cost: some steps of Lanczos's method, one Cholesky factorisation (seldom more) and a product of
    a third of a square; two matrices of its size are in memory.

    Args:
        gram: of a nonzero W; its matrix is overwritten.
    """
    matrix = gram.matrix
    order = len(matrix)
    shift, factor, vector = _positive_shift(matrix)
    lower = (shift - _rayleigh_upper(matrix, vector)) / SLACK
    norm = symmetric_norm_upper(matrix)
    subtract_triangle_product(matrix, factor)
    squares = float(column_squares(factor).sum()) * (1 + gamma(2 * order + 8))
    rounded = product_error(order) * (norm + squares)  # || |L| |L|^T || <= ||L||_F^2
    residual = (symmetric_norm_upper(matrix) + rounded) * SLACK
    diagonal = 4 * UNIT_ROUNDOFF * shift  # of mu - g_ii, in magnitude at most 2 mu
    error = gram.error_upper + diagonal
    return Interval(
        lower=max(0.0, (lower - error * SLACK) / SLACK),
        upper=(shift + residual + error) * SLACK + UNDERFLOW,
    )


def _positive_shift(matrix: torch.Tensor) -> tuple[float, torch.Tensor, torch.Tensor]:
    """A mu slightly above the largest eigenvalue of G, the L of ``mu I - G``, a leading vector.

    G is overwritten by ``mu I - G``. Where Lanczos's method fell short, inverse iteration with the
    factor of a safe shift sharpens its value once.
    """
    diagonal = matrix.diagonal().clone()
    estimate, vector = leading_pair(matrix)
    estimate = max(estimate, float(diagonal.max()))
    matrix.neg_()
    margin, is_sharp = _MARGIN, False
    while True:
        shift = estimate * (1 + margin)
        matrix.diagonal().copy_(shift - diagonal)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) != 0:
            margin *= _RETREAT
            continue
        vector = _inverse_iteration(factor, vector)
        if is_sharp or margin <= _MARGIN:
            return shift, factor, vector
        image = matrix @ vector
        estimate = shift - float(vector @ image) / float(vector @ vector)
        margin, is_sharp = _MARGIN, True
        del factor  # before the next one is made


def _inverse_iteration(factor: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """The vector that ``(L L^T)^-1`` magnifies most, approximately."""
    for _ in range(_INVERSE_STEPS):  # cholesky_solve would copy the factor
        half = torch.linalg.solve_triangular(factor, vector[:, None], upper=False)
        vector = torch.linalg.solve_triangular(factor.mT, half, upper=True)[:, 0]
        vector = vector / vector.norm()
    return vector


def _rayleigh_upper(matrix: torch.Tensor, vector: torch.Tensor) -> float:
    """Upper bound on ``v^T A v / v^T v``, A symmetric."""
    order = len(vector)
    quotient = float(vector @ (matrix @ vector)) / float(vector @ vector)
    rounding = gamma(4 * order + 8) * symmetric_norm_upper(matrix) * SLACK
    return quotient + rounding if math.isfinite(quotient) else math.inf
