"""That no eigenvalue of a Hermitian matrix exceeds a number, proved by Cholesky's method.

If Cholesky's method runs to its end on a Hermitian A of order n, then ``A + D = L L^H`` with
``|D| <= gamma(n) |L| |L|^H`` entrywise (Higham 2002, "Accuracy and Stability of Numerical
Algorithms", Theorem 10.3, for any order of the sums, hence for a factorisation by blocks too; Rump
2006, "Verification of positive definiteness", BIT 46, https://doi.org/10.1007/s10543-006-0056-1).
In real numbers, a complex sum of n products is two sums of 2 n. With ``M = |Re L| + |Im L|`` their
errors add up to ``gamma(2 n) M M^T``, and ``gamma(2 n + 24)`` covers divisions and roots. So
``||D||`` is at most

- in float64 ``2 gamma ||L||_F^2 = 2 gamma trace(A + D)``, which is paid in advance;
- in float32 ``gamma max_i (M M^T x)_i / x_i`` for any positive x (Horn and Johnson 2013, "Matrix
  Analysis", Corollary 8.1.29), which is many times smaller and is read off the factor. The sums of
  row i grow with i, so x does too. What is paid in advance is a guess, `SINGLE_LOSS`: a test proves
  nothing where it was too low.

As ``L L^H`` has no negative eigenvalue, none of ``t I - G`` is below ``-||D||``.
"""

from __future__ import annotations

import math

import torch

from dlgen_cli.spectra.rounding import SLACK, UNIT_ROUNDOFF_SINGLE, gamma

#: Part of the threshold that a test in float32 gives away.
SINGLE_LOSS = 0.0035
_WHOLE = 64  # orders up to this are factored by one call of the library
_FACTORED = 1 << 20  # entries of matrices that are factored together: fresh memory is slow


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
        shift = threshold * (1 - SINGLE_LOSS) - error
        allowed = threshold * SINGLE_LOSS - 4 * UNIT_ROUNDOFF_SINGLE * threshold
    else:
        loss = 2 * gamma(2 * order + 24) * (order + 2) * threshold * SLACK
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
    count, order = matrices.shape[:2]
    ramp = torch.arange(order, dtype=torch.float32) + (order / 8 + 1)  # x
    moduli = torch.view_as_real(matrices.tril_()).abs_().flatten(2)  # of both parts, in turn
    sums = (moduli.mT @ ramp).reshape(count, order, 2).sum(dim=2)  # M^T x
    image = (moduli @ sums.repeat_interleave(2, dim=1)[..., None])[..., 0]
    relative = gamma(2 * order + 24, UNIT_ROUNDOFF_SINGLE)
    loss = relative * (image / ramp).amax(dim=1).to(torch.float64)
    is_small: torch.Tensor = loss * (1 + relative) ** 4 <= allowed  # the sums are in float32 too
    return passed & is_small


def _factor(matrices: torch.Tensor) -> torch.Tensor:
    """Cholesky's method by halves, in place; whether it ran to its end, shape ``(B,)``.

    What lies above the diagonal stays as it was.
    """
    order = matrices.shape[1]
    if order <= _WHOLE:
        factor, info = torch.linalg.cholesky_ex(matrices)
        matrices.copy_(factor)
        ended: torch.Tensor = info == 0
        return ended
    half = 16 * ((order + 31) // 32)
    corner, below = matrices[:, :half, :half], matrices[:, half:, :half]
    passed = _factor(corner)
    below.copy_(torch.linalg.solve_triangular(corner.mH, below, upper=True, left=False))
    rest = matrices[:, half:, half:]
    rest -= below @ below.mH
    return passed & _factor(rest)
