"""The leading eigenpair of a symmetric matrix, approximately: a witness that proves nothing."""

from __future__ import annotations

import torch

_MOST_STEPS = 192
_CHECK_EVERY = 8  # steps
_TOLERANCE = 1e-12  # relative error of the eigenvalue that is aimed at


def leading_pair(matrix: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Largest eigenvalue and its vector by Lanczos's method, fully reorthogonalised.

    The same matrix gives the same bits: the start is fixed.

    Args:
        matrix: shape ``(n, n)``, float64, symmetric, not zero.

    Returns:
        A Ritz value, at most the eigenvalue but for rounding, within about ``1e-12`` relative
        unless the largest eigenvalues are nearly equal; and its vector, shape ``(n,)``.
    """
    order = matrix.shape[0]
    steps = min(order, _MOST_STEPS)
    basis = torch.empty(steps, order, dtype=torch.float64, device=matrix.device)
    tridiagonal = torch.zeros(steps, steps, dtype=torch.float64)
    start = torch.randn(order, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vector = (start / start.norm()).to(matrix.device)
    value, weights = 0.0, torch.ones(1, dtype=torch.float64)
    for step in range(steps):
        basis[step] = vector
        known = basis[: step + 1]
        image = matrix @ vector
        along = known @ image
        image = image - along @ known
        image = image - (known @ image) @ known
        tridiagonal[step, step] = along[step]
        length = float(image.norm())
        is_last = step + 1 == steps or length == 0.0
        if is_last or step % _CHECK_EVERY == _CHECK_EVERY - 1:
            values, columns = torch.linalg.eigh(tridiagonal[: step + 1, : step + 1])
            value, weights = float(values[-1]), columns[:, -1]
            residual = length * abs(float(weights[-1]))
            gap = float(values[-1] - values[-2]) if step else value
            if is_last or residual * min(1.0, residual / max(gap, 1e-300)) <= _TOLERANCE * value:
                break
        tridiagonal[step, step + 1] = tridiagonal[step + 1, step] = length
        vector = image / length
    return value, weights.to(matrix.device) @ basis[: len(weights)]
