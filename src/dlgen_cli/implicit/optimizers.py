"""Optimizers on consistent least squares, ``L(w) = 1 / (2 n) ||A w - b||^2``.

Gradient descent, stochastic gradient descent and momentum add multiples of rows of ``A``: their
updates stay in the span of the rows (Zhang et al. 2017, section 5,
https://arxiv.org/abs/1611.03530). Adam and sign descent rescale each coordinate and leave it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dlgen_cli.errors import UsageError
from dlgen_cli.implicit.flow import FloatArray

_EPS = float(np.finfo(np.float64).eps)
_LOG_TO_ROUNDING = -math.log(_EPS)
#: Runs on systems better conditioned than this are slowed to it, so that a path can be seen.
_BEST_CONDITION = 2.0
_CHECK_EVERY = 16
_RECORD_GROWTH = 1.05
_DIVERGED = 1e8
#: Adam and sign descent decay their rate by this factor over a run of at most so many steps.
_DECAY, _DECAYING_STEPS = 1e-13, 10_000
_BETA_1, _BETA_2, _ADAM_EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Equations ``A w = b`` that have a solution.

    Attributes:
        matrix: ``A``, shape ``(n, d)``.
        right_side: ``b``, shape ``(n,)``.
        largest: largest singular value of ``A``.
        smallest: smallest singular value of ``A`` that is not zero.
    """

    matrix: FloatArray
    right_side: FloatArray
    largest: float
    smallest: float

    @property
    def condition(self) -> float:
        """Ratio of the largest to the smallest singular value."""
        return self.largest / self.smallest

    def residual(self, weights: FloatArray) -> FloatArray:
        """``A w - b``."""
        return self.matrix @ weights - self.right_side

    def gradient(self, weights: FloatArray) -> FloatArray:
        """Gradient of the loss: a combination of rows."""
        return self.matrix.T @ self.residual(weights) / len(self.right_side)

    def is_solved(self, weights: FloatArray) -> bool:
        """Whether the residual is at the level of rounding."""
        size = self.largest * float(np.linalg.norm(weights))
        size += float(np.linalg.norm(self.right_side))
        return float(np.linalg.norm(self.residual(weights))) <= 4.0 * _EPS * size


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """One run.

    Attributes:
        weights: the last iterate, shape ``(d,)``.
        steps: number of steps taken.
        learning_rate: of the first step; for ``sgd`` None where each step projects.
        recorded: steps at which the path was looked at, from 0.
        norms: norm of the iterate there.
        outside: norm there of the part of ``w - alpha`` outside the span.
        travelled: norm there of ``w - alpha``.
    """

    weights: FloatArray
    steps: int
    learning_rate: float | None
    recorded: tuple[int, ...]
    norms: tuple[float, ...]
    outside: tuple[float, ...]
    travelled: tuple[float, ...]


def steps_needed(optimizer: str, system: System) -> float:
    """Steps to rounding level by the optimizer's rate of convergence; 0 where none is known.

    Gradient descent with the best constant step and heavy-ball momentum (Polyak 1964) by their
    spectral rates; random projections by Strohmer and Vershynin 2009, theorem 2,
    https://arxiv.org/abs/math/0702226.
    """
    condition = system.condition
    if optimizer == "gd":
        return 0.5 * _LOG_TO_ROUNDING * condition**2
    if optimizer == "momentum":
        return _LOG_TO_ROUNDING * condition
    if optimizer == "sgd":
        frobenius = float(np.linalg.norm(system.matrix))
        return 2.0 * _LOG_TO_ROUNDING * (frobenius / system.smallest) ** 2
    return 0.0


def descend(
    optimizer: str,
    system: System,
    start: FloatArray,
    *,
    outside: Callable[[FloatArray], FloatArray],
    distance: float,
    learning_rate: float | None,
    steps: int,
    seed: int,
) -> Descent:
    """Run until the residual is at the level of rounding, or for ``steps`` steps.

    Args:
        optimizer: one of `OPTIMIZERS`.
        system: consistent equations.
        start: ``alpha``, shape ``(d,)``.
        outside: projection off the span of the rows.
        distance: from the start to the theory's solution; sets the scale of the default rate
            of ``adam`` and ``sign``.
        learning_rate: None for the best constant one (``gd``, ``momentum``), projections onto
            one equation (``sgd``), or a decaying one (``adam``, ``sign``).
        steps: the most steps.
        seed: of the order in which ``sgd`` draws equations.

    Returns:
        The run and its path.

    Raises:
        UsageError: the run diverged.
    """
    if optimizer in {"adam", "sign"}:
        steps = min(steps, _DECAYING_STEPS)
    rate = _default_rate(optimizer, system, distance) if learning_rate is None else learning_rate
    path = _Path(start, outside, limit=_DIVERGED * (float(np.linalg.norm(start)) + distance))
    weights, taken, next_look = start, 0, 1
    path.look(0, start)
    updates = _UPDATES[optimizer](system, start, rate, steps, seed)
    with np.errstate(over="ignore", invalid="ignore"):
        while not (taken % _CHECK_EVERY == 0 and system.is_solved(weights)):
            following = next(updates, None)
            if following is None:
                break
            weights, taken = following, taken + 1
            if taken == next_look:
                path.look(taken, weights)
                next_look = max(taken + 1, int(taken * _RECORD_GROWTH))
        path.look(taken, weights)
    return Descent(
        weights=weights,
        steps=taken,
        learning_rate=rate,
        recorded=tuple(path.recorded),
        norms=tuple(path.norms),
        outside=tuple(path.outside),
        travelled=tuple(path.travelled),
    )


class _Path:
    """What is kept of the iterates."""

    def __init__(
        self, start: FloatArray, project: Callable[[FloatArray], FloatArray], *, limit: float
    ) -> None:
        self._start, self._project, self._limit = start, project, limit
        self.recorded: list[int] = []
        self.norms: list[float] = []
        self.outside: list[float] = []
        self.travelled: list[float] = []

    def look(self, step: int, weights: FloatArray) -> None:
        """Record an iterate, once; raise `UsageError` where it has run away."""
        norm = float(np.linalg.norm(weights))
        if not self.recorded or self.recorded[-1] != step:
            travel = weights - self._start
            self.recorded.append(step)
            self.norms.append(norm)
            self.outside.append(float(np.linalg.norm(self._project(travel))))
            self.travelled.append(float(np.linalg.norm(travel)))
        if not norm <= self._limit:
            raise UsageError(
                f"The weights diverged: their norm was {norm:.3g} after {step:,} steps.",
                remedy="Give a smaller --lr, or none.",
            )


def _curvatures(system: System) -> tuple[float, float]:
    """Largest and smallest curvature of the loss; the second at most a quarter of the first."""
    count = len(system.right_side)
    smallest = min(system.smallest, system.largest / _BEST_CONDITION)
    return system.largest**2 / count, smallest**2 / count


def _default_rate(optimizer: str, system: System, distance: float) -> float | None:
    largest, smallest = _curvatures(system)
    if optimizer == "gd":
        return 2.0 / (largest + smallest)
    if optimizer == "momentum":
        return 4.0 / (math.sqrt(largest) + math.sqrt(smallest)) ** 2
    if optimizer == "sgd":
        return None
    return 0.1 * distance / math.sqrt(system.matrix.shape[1])


def _gradient_descent(
    system: System, weights: FloatArray, rate: float, steps: int, _seed: int
) -> Iterator[FloatArray]:
    for _ in range(steps):
        weights = weights - rate * system.gradient(weights)
        yield weights


def _heavy_ball(
    system: System, weights: FloatArray, rate: float, steps: int, _seed: int
) -> Iterator[FloatArray]:
    largest, smallest = map(math.sqrt, _curvatures(system))
    inertia = ((largest - smallest) / (largest + smallest)) ** 2
    previous = weights
    for _ in range(steps):
        ahead = weights - rate * system.gradient(weights) + inertia * (weights - previous)
        previous, weights = weights, ahead
        yield weights


def _stochastic(
    system: System, weights: FloatArray, rate: float | None, steps: int, seed: int
) -> Iterator[FloatArray]:
    """One equation at a time, drawn with replacement.

    Without a rate each step projects onto the equation, which is drawn in proportion to the
    square of its norm; with one, equations are drawn uniformly.
    """
    squares = np.sum(system.matrix**2, axis=1)
    chances = squares / squares.sum() if rate is None else None
    order = np.random.default_rng([seed, 2]).choice(len(squares), size=steps, p=chances)
    for index in order:
        row = system.matrix[index]
        length = 1.0 / squares[index] if rate is None else rate
        weights = weights - length * (row @ weights - system.right_side[index]) * row
        yield weights


def _adam(
    system: System, weights: FloatArray, rate: float, steps: int, _seed: int
) -> Iterator[FloatArray]:
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for count in range(1, steps + 1):
        gradient = system.gradient(weights)
        first = _BETA_1 * first + (1.0 - _BETA_1) * gradient
        second = _BETA_2 * second + (1.0 - _BETA_2) * gradient**2
        mean = first / (1.0 - _BETA_1**count)
        spread = np.sqrt(second / (1.0 - _BETA_2**count))
        weights = weights - rate * _DECAY ** (count / steps) * mean / (spread + _ADAM_EPSILON)
        yield weights


def _sign(
    system: System, weights: FloatArray, rate: float, steps: int, _seed: int
) -> Iterator[FloatArray]:
    for count in range(steps):
        decayed = rate * _DECAY ** (count / steps)
        weights = weights - decayed * np.sign(system.gradient(weights))
        yield weights


_UPDATES: dict[str, Callable[..., Iterator[FloatArray]]] = {
    "gd": _gradient_descent,
    "sgd": _stochastic,
    "momentum": _heavy_ball,
    "adam": _adam,
    "sign": _sign,
}
OPTIMIZERS = tuple(_UPDATES)
