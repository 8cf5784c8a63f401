"""That no eigenvalue of a Hermitian matrix exceeds a number, proved by Cholesky's method.

If Cholesky's method runs to its end on a Hermitian A, then ``A + D = L L^H`` with ``|D| <= gamma(c)
|L| |L|^H`` entrywise, where c is the number of roundings that a term of these sums meets: the order
in general (Higham 2002, "Accuracy and Stability of Numerical Algorithms", Theorem 10.3, for any
order of the sums; Rump 2006, "Verification of positive definiteness", BIT 46,
https://doi.org/10.1007/s10543-006-0056-1), fewer where sums of a part of the products are taken one
from another (`_roundings`). The real and the imaginary part of a complex sum of n products are sums
of 2 n. Let g be gamma of the roundings: the product of ``a + ib`` and ``c + id`` adds at most g
times ``(|a||c| + |b||d|, |a||d| + |b||c|)`` to the errors of the two, a vector no longer than
``sqrt(2) |a + ib| |c + id|``. So ``|D| <= sqrt(2) g |L| |L|^T``, and ``||D||`` is at most

- in float64 ``sqrt(2) g ||L||_F^2 = sqrt(2) g trace(A + D)``, which is paid in advance;
- in float32 ``sqrt(2) g || |L| ||^2``, which is many times smaller and is read off the factor
  (`_moduli_norm_upper`). What is paid in advance is a guess, `single_loss`: a test proves nothing
  where it was too low.

As ``L L^H`` has no negative eigenvalue, none of ``t I - G`` is below ``-||D||``.
"""

from __future__ import annotations

import math

import torch

from dlgen_cli.spectra.rounding import SLACK, UNIT_ROUNDOFF_SINGLE, gamma

_WHOLE = 64  # orders up to this are factored by one call of the library
_PRODUCTS = 128  # complex ones that one call sums in any order
_FACTORED = 1 << 20  # entries of matrices that are factored together: fresh memory is slow
_LOST = 2.0**-60  # covers squares that underflow in float32, in factors of matrices of order 1


def single_loss(order: int) -> float:
    """Part of the threshold that a test of a complex matrix in float32 gives away."""
    return 2.65 * math.sqrt(order) * gamma(_roundings(order), UNIT_ROUNDOFF_SINGLE)


def _roundings(order: int) -> int:
    """How many a product meets: in its own sum, as that is subtracted and others are, at the end.

    Of ``2 n`` real products at the end all may be summed in any order with what is left by then. At
    each of the halvings parts of at most `_PRODUCTS` are subtracted. Divisions and roots are in the
    last number.
    """
    parts = -(-order // _PRODUCTS) + max(1, order - 1).bit_length()
    return min(2 * order, 2 * (_PRODUCTS + _WHOLE) + 2 * parts) + 24


def proved_definite(negative: torch.Tensor, threshold: float, error: float) -> torch.Tensor:
    """Which matrices G have no eigenvalue above a threshold; False where it is not proved.

    Args:
        negative: -G up to an error, shape ``(B, n, n)``, Hermitian, read in the lower triangle, in
            complex64, complex128 or float64; overwritten.
        threshold: positive.
        error: bounds the norm of the error of each matrix.

    Returns:
        Shape ``(B,)``, bool.
    """
    order = negative.shape[1]
    single = negative.dtype == torch.complex64
    if single:
        given = single_loss(order)
        shift = threshold * (1 - given) - error
        allowed = threshold * given - 4 * UNIT_ROUNDOFF_SINGLE * threshold
    else:
        loss = 2 * gamma(_roundings(order)) * (order + 2) * threshold * SLACK
        shift = (threshold - (error + loss + gamma(4) * threshold)) / SLACK
        allowed = math.inf
    if shift <= 0:
        return torch.zeros(len(negative), dtype=torch.bool)
    diagonal = negative.diagonal(dim1=1, dim2=2)
    if order == 1:
        return -diagonal.real.flatten() <= shift
    diagonal += shift
    few = max(1, _FACTORED // (order * order))
    return torch.cat([_factors(part, allowed) for part in torch.split(negative, few)])


def _factors(matrices: torch.Tensor, allowed: float) -> torch.Tensor:
    """Whether Cholesky runs to its end, and with ``||D||`` as small as allowed; overwritten."""
    is_finite = torch.isfinite(matrices.diagonal(dim1=1, dim2=2).real).all(dim=1)
    passed = is_finite & _factor(matrices)
    if not math.isfinite(allowed):
        return passed
    relative = gamma(_roundings(matrices.shape[1]), UNIT_ROUNDOFF_SINGLE)
    loss = math.sqrt(2) * SLACK * relative * _moduli_norm_upper(matrices).square()
    is_small: torch.Tensor = loss <= allowed
    return passed & is_small


def _factor(matrices: torch.Tensor) -> torch.Tensor:
    """Cholesky's method by halves, in place; whether it ran to its end, shape ``(B,)``.

    What lies above the diagonal is left over from the sums.
    """
    order = matrices.shape[1]
    if order <= _WHOLE:
        factor, info = torch.linalg.cholesky_ex(matrices)
        matrices.copy_(factor)
        ended: torch.Tensor = info == 0
        return ended
    half = _half(order)
    corner, below = matrices[:, :half, :half], matrices[:, half:, :half]
    passed = _factor(corner)
    _divide(below, corner)
    rest, adjoint = matrices[:, half:, half:], below.mH.resolve_conj()
    for start in range(0, order - half, _WHOLE):  # little of what lies above the diagonal
        columns = slice(start, start + _WHOLE)
        _subtract(rest[:, start:, columns], below[:, start:], adjoint[:, :, columns])
    return passed & _factor(rest)


def _divide(matrices: torch.Tensor, lower: torch.Tensor) -> None:
    """``A L^-H`` by halves, in place, with the lower triangular L of each matrix A."""
    order = lower.shape[1]
    if order <= _WHOLE:
        found = torch.linalg.solve_triangular(lower.mH, matrices, upper=True, left=False)
        matrices.copy_(found)
        return
    half = _half(order)
    first, second = matrices[:, :, :half], matrices[:, :, half:]
    _divide(first, lower[:, :half, :half])
    _subtract(second, first, lower[:, half:, :half].mH.resolve_conj())
    _divide(second, lower[:, half:, half:])


def _subtract(target: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """``T - A B`` in place, a part of the products at a time."""
    for start in range(0, left.shape[2], _PRODUCTS):
        terms = slice(start, start + _PRODUCTS)
        target -= left[:, :, terms] @ right[:, terms]


def _half(order: int) -> int:
    return 16 * ((order + 31) // 32)


def _moduli_norm_upper(factors: torch.Tensor) -> torch.Tensor:
    """Upper bounds on ``|| |L| ||`` for lower triangular L in float32; shape ``(B,)``, float64.

    Let R be L without its diagonal and ``r_iJ`` the norm of the part of its row i in a block J of
    columns. By Cauchy's inequality ``(|R| y)_i <= sum_J r_iJ ||y_J||``, so ``|| |R| || <= ||r||``;
    the square of that is at most ``max_J (r^T r x)_J / x_J`` for any positive x (Horn and Johnson
    2013, "Matrix Analysis", Corollary 8.1.29). The diagonal adds its largest entry.

    Args:
        factors: shape ``(B, n, n)``; its diagonal and what lies above are overwritten.
    """
    count, order = factors.shape[:2]
    diagonal = factors.diagonal(dim1=1, dim2=2)
    largest = diagonal.abs().amax(dim=1).to(torch.float64)
    diagonal.zero_()
    norms = torch.zeros(count, order, -(-order // _WHOLE), dtype=torch.float64)
    for block in range(norms.shape[2]):
        start = block * _WHOLE
        columns = factors[:, start:, start : start + _WHOLE]
        columns[:, : columns.shape[2]].tril_()
        norms[:, start:, block] = torch.linalg.vector_norm(torch.view_as_real(columns), dim=(2, 3))
    products = norms.mT @ norms
    x = torch.ones(count, norms.shape[2], 1, dtype=torch.float64)
    for _ in range(3):
        x = products @ x
        x = x / x.amax(dim=1, keepdim=True).clamp_min(1e-300) + 1e-3
    squares = (products @ x / x).amax(dim=(1, 2))
    rounding = gamma(2 * _WHOLE + 16, UNIT_ROUNDOFF_SINGLE)
    return (largest + squares.sqrt() + _LOST) * (1 + rounding) ** 2
