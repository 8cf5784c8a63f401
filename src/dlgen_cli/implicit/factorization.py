"""Matrix factorization in practice: gradient descent on the factors, beside the theory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dlgen_cli.errors import UsageError
from dlgen_cli.implicit import matrix
from dlgen_cli.implicit.flow import FloatArray
from dlgen_cli.implicit.plan import Plan
from dlgen_cli.implicit.targets import Target

Progress = Callable[[str, int, int], None]

#: Entries of the product beyond this multiple of the largest target mean divergence.
_DIVERGED = 1e3
#: A smaller share is lost in the difference of squares.
_SQUARE_ROOT_OF_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The run beside the theory, for one depth.

    Attributes:
        plan: step, number of steps and recorded steps.
        times: shape ``(T,)``, step times the recorded number of steps.
        theory: shape ``(T, k)``, singular values under gradient flow.
        run: shape ``(T, k)``, singular values of the product under gradient descent, descending.
        takeoff_predicted: for each singular value the time at which it reaches half its target;
            None where it starts at or above half.
        takeoff_measured: the same of the run; None also where the run ends before.
        expected_deviation: largest deviation that the step alone causes, to first order; an
            estimate.
        misalignment: largest share, along the run, of the product that lies off the diagonal in
            the target's singular bases, in the Frobenius norm.
        final_loss: ``1 / (2 d d') ||W - W*||_F^2`` after the last step.
    """

    plan: Plan
    times: FloatArray
    theory: FloatArray
    run: FloatArray
    takeoff_predicted: tuple[float | None, ...]
    takeoff_measured: tuple[float | None, ...]
    expected_deviation: float
    misalignment: float
    final_loss: float

    @property
    def largest_deviation(self) -> float:
        """Largest absolute difference of run and theory over all times and values."""
        return float(np.abs(self.run - self.theory).max())


def compare(
    target: Target,
    plan: Plan,
    *,
    aligned: bool,
    seed: int,
    progress: Progress = lambda _what, _done, _total: None,
) -> Comparison:
    """Run gradient descent on the factors and set it beside the theory.

    Args:
        target: the matrix ``W*`` with its singular value decomposition.
        plan: depth, start, step and recorded steps.
        aligned: start with the target's singular vectors, as the theory assumes; otherwise
            from a random matrix of that size, split into balanced factors.
        seed: of the random start.
        progress: called with what runs, steps done and steps in all.

    Returns:
        Both, at the recorded steps.

    Raises:
        UsageError: the run diverged, because the step is too large.
    """
    depth, start, rate = plan.depth, plan.start, target.rate
    factors = start_factors(target, depth, start, aligned=aligned, seed=seed)
    run, misalignment, crossings = _descend(target, plan, factors, progress)
    times = plan.step * np.asarray(plan.recorded, dtype=np.float64)
    theory, gaps = matrix.solve(depth, times, target.values, start, rate)
    expected = matrix.expected_deviation(depth, theory, gaps, start, rate, plan.step)
    product = multiply(factors)
    return Comparison(
        plan=plan,
        times=times,
        theory=theory,
        run=run,
        takeoff_predicted=tuple(
            matrix.takeoff_time(depth, float(value), start, rate) for value in target.values
        ),
        takeoff_measured=tuple(
            None if value <= 2.0 * start else crossing
            for value, crossing in zip(target.values, crossings, strict=True)
        ),
        expected_deviation=float(np.abs(expected).max()),
        misalignment=misalignment,
        final_loss=0.5 * rate * float(np.linalg.norm(product - target.matrix)) ** 2,
    )


def start_factors(
    target: Target, depth: int, start: float, *, aligned: bool, seed: int
) -> list[FloatArray]:
    """Balanced factors ``W_1 .. W_N`` whose product has singular values near ``epsilon``.

    Balanced: ``W_{j+1}^T W_{j+1} = W_j W_j^T``. The product is split by its singular value
    decomposition ``U S V^T`` into ``S^(1/N) V^T``, ``S^(1/N)``, ..., ``U S^(1/N)`` (Arora, Cohen,
    Golowich and Hu 2019, procedure 1, https://arxiv.org/abs/1810.02281).

    Args:
        target: gives the shape, and the singular bases of an aligned start.
        depth: number of matrices ``N``.
        start: ``epsilon``.
        aligned: every singular value is ``epsilon`` and the bases are the target's; otherwise
            the product is Gaussian, scaled to a root mean square singular value of ``epsilon``.
        seed: of the Gaussian.

    Returns:
        ``N`` matrices, the first applied first; inner sizes are the smaller side of the target.
    """
    left, right = target.left, target.right
    sizes = np.full(len(target.values), start)
    if not aligned:
        random = np.random.default_rng(seed).standard_normal(target.matrix.shape)
        left, sizes, right = np.linalg.svd(random, full_matrices=False)
        sizes = sizes * (start / math.sqrt(float(np.mean(sizes**2))))
    root = sizes ** (1.0 / depth)
    factors = [np.diag(root) for _ in range(depth)]
    factors[0] = root[:, None] * right
    factors[-1] = left * root if depth > 1 else (left * sizes) @ right
    return factors


def multiply(factors: Sequence[FloatArray]) -> FloatArray:
    """The product ``W_N ... W_1``."""
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    return product


def advance(factors: list[FloatArray], target: Target, step: float, count: int) -> None:
    """Take steps of gradient descent on all factors at once, in place.

    The gradient with respect to ``W_j`` is ``(W_N .. W_{j+1})^T c (W - W*) (W_{j-1} .. W_1)^T``.

    Args:
        factors: ``W_1 .. W_N``; overwritten.
        target: ``W*`` and ``c``.
        step: learning rate ``h``.
        count: number of steps.
    """
    depth, scaled = len(factors), step * target.rate
    for _ in range(count):
        before = [factors[0]]
        for factor in factors[1:]:
            before.append(factor @ before[-1])
        back = scaled * (before[-1] - target.matrix)
        for j in range(depth - 1, -1, -1):
            gradient = back @ before[j - 1].T if j else back
            back = factors[j].T @ back if j else back
            factors[j] = factors[j] - gradient


def _descend(
    target: Target, plan: Plan, factors: list[FloatArray], progress: Progress
) -> tuple[FloatArray, float, list[float | None]]:
    """Run, and look at the recorded steps; where a value crossed, look again in between."""
    halves = 0.5 * target.values
    crossings: list[float | None] = [None] * len(halves)
    values, misalignment = _observe(factors, target)
    rows = [values]
    for first, last in zip(plan.recorded[:-1], plan.recorded[1:], strict=True):
        earlier = list(factors)
        with np.errstate(over="ignore", invalid="ignore"):
            advance(factors, target, plan.step, last - first)
            _check_finite(factors, target, plan)
        values, off = _observe(factors, target)
        crossed = [
            int(index)
            for index in np.flatnonzero((rows[-1] < halves) & (values >= halves))
            if crossings[index] is None
        ]
        found = _locate(earlier, rows[-1], values, target, plan.step, last - first, crossed)
        for index, steps in found.items():
            crossings[index] = plan.step * (first + steps)
        rows.append(values)
        misalignment = max(misalignment, off)
        progress(f"depth {plan.depth}", last, plan.steps)
    return np.stack(rows), misalignment, crossings


def _observe(factors: Sequence[FloatArray], target: Target) -> tuple[FloatArray, float]:
    product = multiply(factors)
    inside = target.left.T @ product @ target.right.T
    size = float(np.linalg.norm(product))
    diagonal = float(np.linalg.norm(np.diag(inside)))
    off = math.sqrt(max(0.0, 1.0 - (diagonal / size) ** 2))
    if off < _SQUARE_ROOT_OF_ROUNDING:
        off = float(np.linalg.norm(inside - np.diag(np.diag(inside)))) / size
    return _singular_values(product), off


def _locate(
    factors: Sequence[FloatArray],
    before: FloatArray,
    after: FloatArray,
    target: Target,
    step: float,
    count: int,
    crossed: Sequence[int],
) -> dict[int, float]:
    """Number of steps, with its fraction, after which values reach half their targets.

    The stretch is run again in halves until a single step is left.

    Args:
        factors: at its start.
        before: singular values at its start.
        after: singular values at its end.
        target: gives the halves.
        step: learning rate.
        count: steps of the stretch.
        crossed: indices of the values that cross in it.
    """
    if not crossed:
        return {}
    halves = 0.5 * target.values
    if count == 1:
        return {i: float((halves[i] - before[i]) / (after[i] - before[i])) for i in crossed}
    half = count // 2
    ahead = list(factors)
    advance(ahead, target, step, half)
    middle = _singular_values(multiply(ahead))
    early = [i for i in crossed if middle[i] >= halves[i]]
    late = [i for i in crossed if middle[i] < halves[i]]
    found = _locate(factors, before, middle, target, step, half, early)
    rest = _locate(ahead, middle, after, target, step, count - half, late)
    return found | {i: half + steps for i, steps in rest.items()}


def _singular_values(product: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.svd(product, compute_uv=False), dtype=np.float64)


def _check_finite(factors: Sequence[FloatArray], target: Target, plan: Plan) -> None:
    largest = float(np.abs(multiply(factors)).max())
    limit = _DIVERGED * max(float(target.values[0]), plan.start)
    if not largest <= limit:
        raise UsageError(
            f"Gradient descent at depth {plan.depth} diverged with step {plan.step:g}.",
            remedy=f"Give a --step below {plan.step / 10:.2g}.",
        )
