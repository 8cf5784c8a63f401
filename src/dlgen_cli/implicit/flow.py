"""The singular values of a product of three or more matrices under gradient flow.

Gradient flow from a balanced, aligned start moves each singular value ``sigma`` towards its
target ``s`` by ``d sigma / dt = N c (sigma^2)^(1 - 1/N) (s - sigma)`` (Arora, Cohen, Hu and Luo
2019, theorem 3, https://arxiv.org/abs/1905.13655). With ``x = sigma / s``, ``p = 2 - 2/N`` and the
time ``tau = N c s^p t`` this is ``dx / dtau = x^p (1 - x)``, and the time of passage is a
quadrature:

- from below, ``z = ln(x / (1 - x))``: ``d tau / dz = (1 + e^-z)^(p - 1)``;
- from above, ``z = -ln(x - 1)``: ``d tau / dz = (1 + e^-z)^-p``.

Both integrands are analytic in the strip ``|Im z| < pi`` and tend to 1, so Gauss-Legendre panels
give the time to rounding, and Newton's method inverts it. Nothing is stiff and nothing overflows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

_PANEL = 0.5  # width in z; the nearest singularity is pi away
_NODES = 12
_END = 40.0  # beyond, 1 + e^-z is 1 to rounding and z grows as tau does
_NEWTON_STEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Approach:
    """One side of the target.

    Attributes:
        power: exponent of ``1 + e^-z`` in ``d tau / dz``.
        first: ``z`` at the start.
    """

    power: float
    first: float

    def slope(self, z: FloatArray) -> FloatArray:
        """``d tau / dz``."""
        return np.exp(self.power * np.logaddexp(0.0, -z))

    def integral(self, lower: FloatArray, widths: FloatArray) -> FloatArray:
        """``tau`` between ``lower`` and ``lower + widths``, one panel each."""
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        inside = lower[:, None] + widths[:, None] * (0.5 * (nodes + 1.0))
        values: FloatArray = 0.5 * widths * (self.slope(inside) @ weights)
        return values


def solve_deep(
    depth: int, times: FloatArray, target: float, start: float, rate: float
) -> tuple[FloatArray, FloatArray]:
    """Integrate one singular value for depth 3 and more.

    Args:
        depth: number of matrices ``N >= 3``.
        times: shape ``(T,)``, each at least 0, in units of one over the rate of the loss.
        target: singular value ``s >= 0`` of the target.
        start: singular value ``epsilon > 0`` at time 0.
        rate: ``c = 1 / (d d')``.

    Returns:
        ``sigma`` and ``s - sigma``, each of shape ``(T,)``; the second keeps its relative
        precision where the first has reached the target.
    """
    p = 2.0 - 2.0 / depth
    if target == 0.0:
        # d sigma / dt = -N c sigma^(p + 1) is solved by a power law.
        decay = 1.0 + depth * p * rate * start**p * times
        values = start * decay ** (-1.0 / p)
        return values, -values
    if start == target:
        return np.full_like(times, target), np.zeros_like(times)
    below = start < target
    z = _invert(_approach(depth, target, start), depth * rate * target**p * times)
    tail = np.exp(-z)
    if below:
        return target / (1.0 + tail), target * tail / (1.0 + tail)
    return target * (1.0 + tail), -target * tail


def passage_time(depth: int, target: float, start: float, rate: float) -> float:
    """Time at which a singular value reaches half its target.

    Args:
        depth: number of matrices ``N >= 3``.
        target: ``s > 2 epsilon``.
        start: ``epsilon > 0``.
        rate: ``c = 1 / (d d')``.

    Returns:
        The time, exact up to rounding.
    """
    approach = _approach(depth, target, start)
    edges = _edges(approach.first, 0.0)
    tau = float(approach.integral(edges[:-1], np.diff(edges)).sum())
    return float(tau / (depth * rate * target ** (2.0 - 2.0 / depth)))


def _approach(depth: int, target: float, start: float) -> _Approach:
    if start < target:
        first = np.log(start) - np.log(target - start)
        return _Approach(power=1.0 - 2.0 / depth, first=float(first))
    first = np.log(target) - np.log(start - target)
    return _Approach(power=-(2.0 - 2.0 / depth), first=float(first))


def _edges(first: float, last: float) -> FloatArray:
    panels = max(1, int(np.ceil((last - first) / _PANEL)))
    return np.linspace(first, last, panels + 1)


def _invert(approach: _Approach, tau: FloatArray) -> FloatArray:
    """The ``z`` that is reached at scaled time ``tau``."""
    edges = _edges(approach.first, max(_END, approach.first + _PANEL))
    lengths = approach.integral(edges[:-1], np.diff(edges))
    reached = np.concatenate([[0.0], np.cumsum(lengths)])
    panel = np.clip(np.searchsorted(reached, tau, side="right") - 1, 0, len(lengths) - 1)
    left, width = edges[panel], np.diff(edges)[panel]
    wanted = np.minimum(tau - reached[panel], lengths[panel])
    step = width * wanted / lengths[panel]
    for _ in range(_NEWTON_STEPS):
        excess = approach.integral(left, step) - wanted
        step = np.clip(step - excess / approach.slope(left + step), 0.0, width)
    inside: FloatArray = left + step
    return np.where(tau > reached[-1], edges[-1] + (tau - reached[-1]), inside)
