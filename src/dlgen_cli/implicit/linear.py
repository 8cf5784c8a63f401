"""Linear regression: which interpolant does training find?

``m`` points in ``R^d`` are the rows of ``X``. An algorithm that starts at ``alpha``, moves only in
the span of the points and drives the least-squares loss to zero ends at
``w~ = w* + P alpha``: the interpolant ``w*`` of least norm plus the part of the start that is
orthogonal to every point. The two are orthogonal, so ``||w~||^2 = ||w*||^2 + ||P alpha||^2``
exactly, and ``||w~|| - ||w*|| <= ||P alpha||``.

Sources: Zhang, Bengio, Hardt, Recht and Vinyals 2017, section 5, for the span argument,
https://arxiv.org/abs/1611.03530; Gunasekar et al. 2017, https://arxiv.org/abs/1705.09280.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dlgen_cli.errors import DataError
from dlgen_cli.implicit.flow import FloatArray
from dlgen_cli.implicit.optimizers import Descent, System, descend, steps_needed
from dlgen_cli.implicit.problems import Problem

Precondition = Literal["auto", "always", "never"]

_EPS = float(np.finfo(np.float64).eps)
_CONSISTENT = 1e-10
_IN_SPAN = 1e-9
_CONVERGED = 1e-8
#: The span and the solution are known to so many units of rounding, times the condition number.
_ROUNDINGS = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Theory:
    """What the theorem says of a problem and a start.

    Attributes:
        start: ``alpha``, shape ``(d,)``.
        rank: of ``X``.
        span: orthonormal columns that span the points, shape ``(d, rank)``.
        largest: largest singular value of ``X``.
        smallest: smallest one above rounding.
        minimum: ``w*``, the interpolant of least norm.
        perpendicular: ``P alpha``, the part of the start orthogonal to all points.
    """

    start: FloatArray
    rank: int
    span: FloatArray
    largest: float
    smallest: float
    minimum: FloatArray
    perpendicular: FloatArray

    @property
    def limit(self) -> FloatArray:
        """``w~``, where training ends."""
        return self.minimum + self.perpendicular

    @property
    def norm_minimum(self) -> float:
        """``||w*||``."""
        return float(np.linalg.norm(self.minimum))

    @property
    def norm_perpendicular(self) -> float:
        """``||P alpha||``, which bounds ``||w~|| - ||w*||``."""
        return float(np.linalg.norm(self.perpendicular))

    @property
    def norm_theory(self) -> float:
        """``||w~||``."""
        return float(np.linalg.norm(self.limit))

    @property
    def condition(self) -> float:
        """Ratio of the largest to the smallest singular value of ``X``."""
        return self.largest / self.smallest

    def outside(self, vector: FloatArray) -> FloatArray:
        """The part of a vector that is orthogonal to all points."""
        return _remove(self.span, vector)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run beside the theorem.

    Attributes:
        optimizer: its name.
        descent: the run.
        norm_run: norm of the last iterate.
        suboptimality: ``norm_run - ||w*||``.
        out_of_span: largest norm, along the path, of the part of ``w - alpha`` outside the span,
            over the largest ``||w - alpha||``; 0 where nothing moved.
        in_span: whether that is at the level of rounding.
        identity_residual: ``| ||w||^2 - (||w*||^2 + ||P alpha||^2) |``, relative to the right
            side; absolute where that is zero.
        final_loss: ``1 / (2 m) ||X w - y||^2``.
        distance_to_theory: ``||w - w~||``.
        norm_error_upper: ``||X w - y||`` over the smallest singular value: an upper bound,
            up to rounding, on the distance to the nearest interpolant, which for a run in the
            span is ``w~``.
        converged: whether that is below 1e-8 of the norm of the result, or at the rounding that
            the condition number lets through.
        preconditioned: whether the equations were mixed first; see `precondition`.
    """

    optimizer: str
    descent: Descent
    norm_run: float
    suboptimality: float
    out_of_span: float
    in_span: bool
    identity_residual: float
    final_loss: float
    distance_to_theory: float
    norm_error_upper: float
    converged: bool
    preconditioned: bool

    @property
    def theorem_applied(self) -> bool:
        """Whether the run kept to the span and reached zero loss."""
        return self.in_span and self.converged


def analyse(problem: Problem, start: FloatArray) -> Theory:
    """Compute the theorem's vectors from the singular value decomposition of ``X``.

    The normal matrix is never formed, so digits are lost in proportion to the condition number
    and not to its square. Singular values below ``max(m, d) * 2^-52`` of the largest count as
    zero.

    Args:
        problem: points and labels.
        start: ``alpha``, shape ``(d,)``.

    Returns:
        The theory.

    Raises:
        DataError: the labels have a part that no weights can reach: there is no zero loss.
    """
    points, labels = problem.points, problem.labels
    left, values, right = np.linalg.svd(points, full_matrices=False)
    floor = max(points.shape) * _EPS * values[0]
    rank = int(np.count_nonzero(values > floor))
    inside = left[:, :rank].T @ labels
    span = np.ascontiguousarray(right[:rank].T)
    minimum = span @ (inside / values[:rank])
    reached = float(np.linalg.norm(points @ minimum - labels))
    noise = 10.0 * floor * float(np.linalg.norm(minimum))
    size = float(np.linalg.norm(labels))
    if rank < len(labels) and reached > _CONSISTENT * size + noise:
        raise DataError(
            f"The labels in {problem.origin} are inconsistent: with {len(labels)} points of rank "
            f"{rank}, the best weights miss {reached / size:.3g} of ||y||, and no weights reach "
            "zero loss.",
            remedy="The theorem needs an interpolant: take fewer points or more features.",
        )
    return Theory(
        start=start,
        rank=rank,
        span=span,
        largest=float(values[0]),
        smallest=float(values[rank - 1]),
        minimum=minimum,
        perpendicular=_remove(span, start),
    )


def run_optimizer(
    problem: Problem,
    theory: Theory,
    optimizer: str,
    *,
    learning_rate: float | None = None,
    steps: int = 50_000,
    seed: int = 0,
    mixing: Precondition = "auto",
) -> Outcome:
    """Train from the start of the theory, and set the result beside it.

    Args:
        problem: points and labels.
        theory: of that problem.
        optimizer: ``gd``, ``sgd``, ``momentum``, ``adam`` or ``sign``.
        learning_rate: None for the optimizer's own choice.
        steps: the most steps.
        seed: of the order of points.
        mixing: ``auto`` preconditions where the optimizer would need more steps than that.

    Returns:
        The outcome; where the run did not converge it says so.

    Raises:
        UsageError: the run diverged.
    """
    system = System(
        matrix=problem.points,
        right_side=problem.labels,
        largest=theory.largest,
        smallest=theory.smallest,
    )
    mixed = mixing == "always" or (
        mixing == "auto" and learning_rate is None and steps_needed(optimizer, system) > steps
    )
    if mixed:
        system = precondition(problem, theory.rank)
    descent = descend(
        optimizer,
        system,
        theory.start,
        outside=theory.outside,
        distance=float(np.linalg.norm(theory.limit - theory.start)),
        learning_rate=learning_rate,
        steps=steps,
        seed=seed,
    )
    return _compare(problem, theory, optimizer, descent, mixed=mixed)


def precondition(problem: Problem, rank: int) -> System:
    """Replace the equations by combinations of them whose rows are orthonormal.

    ``X^T P = Q R`` with column pivoting turns ``X w = y`` into ``Q^T w = b`` with
    ``R^T b = P^T y``: the same solutions, and the same span of rows, so that the theorem says the
    same of a descent on either. Only the speed differs.

    Args:
        problem: points and labels, consistent.
        rank: of the points.

    Returns:
        ``rank`` equations of condition number 1.
    """
    from scipy.linalg import qr, solve_triangular

    basis, triangle, pivots = qr(problem.points.T, mode="economic", pivoting=True)
    right_side = solve_triangular(triangle[:rank, :rank], problem.labels[pivots[:rank]], trans="T")
    matrix = np.ascontiguousarray(basis[:, :rank].T)
    return System(matrix=matrix, right_side=right_side, largest=1.0, smallest=1.0)


def _compare(
    problem: Problem, theory: Theory, optimizer: str, descent: Descent, *, mixed: bool
) -> Outcome:
    weights = descent.weights
    norm = float(np.linalg.norm(weights))
    missed = float(np.linalg.norm(problem.points @ weights - problem.labels))
    permitted = missed / theory.smallest
    expected = theory.norm_minimum**2 + theory.norm_perpendicular**2
    travelled, outside = max(descent.travelled), max(descent.outside)
    rounding = _ROUNDINGS * _EPS * theory.condition
    # A start far larger than the way from it leaves its own rounding in the difference.
    noise = 1e-3 * _IN_SPAN * float(np.linalg.norm(theory.start))
    return Outcome(
        optimizer=optimizer,
        descent=descent,
        norm_run=norm,
        suboptimality=norm - theory.norm_minimum,
        out_of_span=outside / travelled if travelled else 0.0,
        in_span=outside <= (_IN_SPAN + rounding) * travelled + noise,
        identity_residual=abs(norm**2 - expected) / (expected or 1.0),
        final_loss=missed**2 / (2 * len(problem.labels)),
        distance_to_theory=float(np.linalg.norm(weights - theory.limit)),
        norm_error_upper=permitted,
        converged=permitted <= max(_CONVERGED, rounding) * max(norm, theory.norm_theory),
        preconditioned=mixed,
    )


def _remove(span: FloatArray, vector: FloatArray) -> FloatArray:
    """Take the part inside the span away; twice, so that rounding leaves nothing of it."""
    if span.shape[0] == span.shape[1]:
        return np.zeros_like(vector)
    once = vector - span @ (span.T @ vector)
    return once - span @ (span.T @ once)
