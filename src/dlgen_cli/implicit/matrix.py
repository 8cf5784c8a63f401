"""Matrix factorization in theory: singular values under gradient flow, and their takeoff.

The loss is ``L(W) = 1 / (2 d d') ||W - W*||_F^2`` of a product of ``N`` matrices. From a start
that is balanced and whose singular vectors are those of ``W*``, gradient flow moves each singular
value on its own::

    d sigma / dt = -N (sigma^2)^(1 - 1/N) c (sigma - s),    c = 1 / (d d')

Each factor holds ``u = sigma^(1/N)`` and moves by ``du / dt = c (s - sigma) u^(N - 1)``; the chain
rule gives the line above.

Sources: Gunasekar et al. 2017, https://arxiv.org/abs/1705.09280; Arora, Cohen, Hu and Luo 2019,
theorem 3, https://arxiv.org/abs/1905.13655; Saxe, McClelland and Ganguli 2013 for the logistic
curve of ``N = 2``, https://arxiv.org/abs/1312.6120.
"""

from __future__ import annotations

import math

import numpy as np

from dlgen_cli.implicit.flow import FloatArray, passage_time, solve_deep


def solve(
    depth: int, times: FloatArray, targets: FloatArray, start: float, rate: float
) -> tuple[FloatArray, FloatArray]:
    """Singular values of the product at given times.

    Args:
        depth: number of matrices, at least 1.
        times: shape ``(T,)``, each at least 0. Gradient descent with step ``h`` is at time
            ``k h`` after ``k`` steps.
        targets: shape ``(k,)``, singular values of the target, each at least 0.
        start: ``epsilon > 0``, the start of every singular value.
        rate: ``c = 1 / (d d') > 0``.

    Returns:
        ``sigma`` and ``s - sigma``, each of shape ``(T, k)``. The second does not cancel where a
        singular value has reached its target.

    Assumes:
        Gradient flow, a balanced start, singular vectors aligned with those of the target.
    """
    if depth <= 2:
        closed = solve_one if depth == 1 else solve_two
        return closed(times[:, None], targets[None, :], start, rate)
    pairs = [solve_deep(depth, times, float(target), start, rate) for target in targets]
    values, gaps = zip(*pairs, strict=True)
    return np.stack(values, axis=1), np.stack(gaps, axis=1)


def solve_one(
    times: FloatArray, targets: FloatArray, start: float, rate: float
) -> tuple[FloatArray, FloatArray]:
    """One matrix: ``sigma = s + (epsilon - s) e^(-c t)``, every value at the same rate.

    Args:
        times: any shape that broadcasts with ``targets``.
        targets: singular values of the target.
        start: ``epsilon >= 0``.
        rate: ``c``.

    Returns:
        ``sigma``, written as a sum of two terms that are never negative, and ``s - sigma``.
    """
    left = np.exp(-rate * times)
    return -targets * np.expm1(-rate * times) + start * left, (targets - start) * left


def solve_two(
    times: FloatArray, targets: FloatArray, start: float, rate: float
) -> tuple[FloatArray, FloatArray]:
    """Two matrices: the logistic curve ``s / (1 + (s / epsilon - 1) e^(-2 c s t))``.

    Its inverse obeys a linear equation, ``1 / sigma = e^(-a) / epsilon + (1 - e^(-a)) / s`` with
    ``a = 2 c s t``; this form holds no growing exponential, no difference of like terms, and for
    ``s = 0`` the limit ``1 / epsilon + 2 c t``.

    Args:
        times: any shape that broadcasts with ``targets``.
        targets: singular values of the target, each at least 0.
        start: ``epsilon > 0``; from 0 nothing moves.
        rate: ``c``.

    Returns:
        ``sigma`` and ``s - sigma``.
    """
    a = 2.0 * rate * targets * times
    left = np.exp(-a)
    still = a == 0
    share = np.where(still, 1.0, -np.expm1(-a) / np.where(still, 1.0, a))
    values = 1.0 / (left / start + 2.0 * rate * times * share)
    return values, values * ((targets - start) / start) * left


def takeoff_time(depth: int, target: float, start: float, rate: float) -> float | None:
    """Time at which a singular value reaches half its target.

    ``N = 1``: ``ln(2 (1 - epsilon / s)) / c``. ``N = 2``: ``ln(s / epsilon - 1) / (2 c s)``.
    ``N >= 3``: a quadrature of the differential equation.

    Args:
        depth: number of matrices, at least 1.
        target: ``s >= 0``.
        start: ``epsilon > 0``.
        rate: ``c = 1 / (d d')``.

    Returns:
        The time; None where ``epsilon >= s / 2``, which leaves nothing to take off.
    """
    if start >= 0.5 * target:
        return None
    if depth == 1:
        return math.log(2.0 * (1.0 - start / target)) / rate
    if depth == 2:
        return (math.log(target - start) - math.log(start)) / (2.0 * rate * target)
    return passage_time(depth, target, start, rate)


def relaxation_rate(depth: int, value: float, rate: float) -> float:
    """Rate ``N c s^(2 - 2/N)`` at which a singular value closes in on its target.

    It is also the curvature of the loss along that value, so gradient descent needs a step
    below two over the largest.
    """
    return float(depth * rate * value ** (2.0 - 2.0 / depth))


def expected_deviation(
    depth: int,
    values: FloatArray,
    gaps: FloatArray,
    start: float,
    rate: float,
    step: float,
) -> FloatArray:
    """How far gradient descent with a small step is from gradient flow, to first order.

    A step ``u + h f(u)`` takes the flow ``h - h^2 f'(u) / 2`` of its own time, so that after time
    ``t`` the run is where the flow is at ``t - (h / 2) ln(f(u(t)) / f(u(0)))``: a shift in time,
    in proportion to the step (backward error analysis: Hairer, Lubich and Wanner 2006, chapter
    IX). Here ``f(u) = c (s - sigma) sigma^(1 - 1/N)``.

    Args:
        depth: number of matrices.
        values: ``sigma`` along the flow, time first; row 0 is the start.
        gaps: ``s - sigma`` of the same shape.
        start: ``epsilon``.
        rate: ``c``.
        step: ``h``.

    Returns:
        Run minus theory, of the shape of ``values``; an estimate whose error is of order ``h^2``.
    """
    moving = gaps != 0
    ratio = np.where(moving, gaps, 1.0) / np.where(moving, gaps[:1], 1.0)
    log_speed = np.log(ratio) + (1.0 - 1.0 / depth) * np.log(values / start)
    speed = depth * rate * values ** (2.0 - 2.0 / depth) * gaps
    return np.where(moving, -0.5 * step * speed * log_speed, 0.0)
