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
_WHOLE = 256  # orders up to this are factored by one call of the library
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
    """Whether Cholesky runs to its end, and with ``||D||`` as small as allowed."""
    count, order = matrices.shape[:2]
    passed = torch.isfinite(matrices.diagonal(dim1=1, dim2=2).real).all(dim=1)
    is_read = math.isfinite(allowed)
    ramp = torch.arange(order, dtype=torch.float32) + (order / 8 + 1)  # x
    twice = ramp.repeat_interleave(2)
    image = torch.zeros(count, 2 * order)  # M M^T x, in two parts for each entry
    rest, start = matrices, 0
    while start < order:
        cut = min(_WHOLE, order - start)
        corner, info = torch.linalg.cholesky_ex(rest[:, :cut, :cut])
        below = torch.linalg.solve_triangular(
            corner.mH, rest[:, cut:, :cut], upper=True, left=False
        )
        rest = rest[:, cut:, cut:] - below @ below.mH
        passed &= info == 0
        if is_read:
            moduli = torch.cat([_moduli(corner), _moduli(below)], dim=2)
            sums = moduli @ twice[2 * start :]
            image[:, 2 * start :] += (moduli.mT @ sums[..., None])[..., 0]
        start += cut
    if is_read:
        relative = gamma(2 * order + 24, UNIT_ROUNDOFF_SINGLE)
        reached = (image.reshape(count, order, 2).sum(dim=2) / ramp).amax(dim=1)
        loss = relative * reached.to(torch.float64)
        passed &= loss * (1 + relative) ** 4 <= allowed  # the sums are in float32 too
    return passed


def _moduli(factor: torch.Tensor) -> torch.Tensor:
    """``|Re|`` and ``|Im|`` of the rows in turn, transposed: shape ``(B, columns, 2 rows)``."""
    return torch.view_as_real(factor.mT.contiguous()).abs().flatten(2)
