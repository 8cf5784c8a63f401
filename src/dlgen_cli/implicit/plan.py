"""How long gradient descent runs on the factors, and with which step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dlgen_cli.errors import UsageError
from dlgen_cli.implicit import matrix
from dlgen_cli.implicit.targets import Target

#: Steps as fractions of one over the largest curvature; smaller is closer to the theory.
_FRACTIONS = (0.02, 0.05, 0.1)
#: Relaxation times that are shown after the last takeoff.
_AFTER_TAKEOFF = 6.0
#: Values below this share of the largest do not decide how long the run is.
_SHOWN_SHARE = 0.1
#: A random start takes longer, as only a part of it lies along a singular vector.
_UNALIGNED_FACTOR = 2.0
_RECORDS = 160
_MOST_STEPS, _FEWEST_STEPS = 20_000, 400
_MOST_STEPS_ASKED = 2_000_000
#: Multiplications that a run may cost unless the user sets time and step.
_BUDGET = 2e11
_LARGEST_RUN = 2e13


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of gradient descent.

    Attributes:
        depth: number of matrices.
        start: ``epsilon``.
        step: learning rate ``h``; time passes by ``h`` with each step.
        steps: number of steps.
        recorded: the steps at which singular values are taken, from 0 to ``steps``.
    """

    depth: int
    start: float
    step: float
    steps: int
    recorded: tuple[int, ...]


def make_plan(
    target: Target,
    depth: int,
    start: float,
    *,
    time: float | None = None,
    step: float | None = None,
    aligned: bool = True,
) -> Plan:
    """Choose what the user left open.

    Without ``time`` the run lasts until every value above a tenth of the largest has taken off
    and settled, or as far as a bounded number of steps goes. Without ``step`` it is a small
    fraction of one over the largest curvature, ``N c s^(2 - 2/N)`` at the largest value.

    Args:
        target: the matrix ``W*``.
        depth: number of matrices.
        start: ``epsilon``.
        time: how long gradient flow runs; None to choose.
        step: learning rate; None to choose.
        aligned: whether the start has the target's singular vectors.

    Returns:
        The plan.

    Raises:
        UsageError: the step is unstable, or the run would be too long.
    """
    curvature = matrix.relaxation_rate(depth, max(float(target.values[0]), start), target.rate)
    _check_stable(depth, step, curvature)
    budget = _step_budget(target, depth)
    wanted = time
    if wanted is None:
        wanted = _natural_time(target, depth, start) * (1.0 if aligned else _UNALIGNED_FACTOR)
    if step is None:
        fits = (f / curvature for f in _FRACTIONS if wanted * curvature / f <= budget)
        step = next(fits, _FRACTIONS[-1] / curvature)
    if time is None:
        wanted = min(wanted, step * budget)
    steps = _count_steps(target, depth, wanted / step)
    grid = np.rint(np.linspace(0, steps, min(steps, _RECORDS) + 1)).astype(int)
    return Plan(
        depth=depth, start=start, step=step, steps=steps, recorded=tuple(int(k) for k in grid)
    )


def _check_stable(depth: int, step: float | None, curvature: float) -> None:
    if step is not None and step * curvature >= 2.0:
        raise UsageError(
            f"Gradient descent at depth {depth} is unstable with --step {step:g}: it needs less "
            f"than 2 / curvature = {2.0 / curvature:.4g}.",
            remedy=f"Give --step {_FRACTIONS[0] / curvature:.2g} or less.",
        )


def _count_steps(target: Target, depth: int, wanted: float) -> int:
    most = min(_MOST_STEPS_ASKED, int(_LARGEST_RUN / _cost(target, depth)))
    if wanted > most:
        raise UsageError(
            f"The run at depth {depth} would take {wanted:,.0f} steps; at most {most:,} are run.",
            remedy="Lower --time, raise --step or --epsilon, or take a smaller target.",
        )
    return max(1, math.ceil(wanted * (1.0 - 1e-12)))


def _natural_time(target: Target, depth: int, start: float) -> float:
    largest = float(target.values[0])
    latest = _AFTER_TAKEOFF / matrix.relaxation_rate(depth, largest, target.rate)
    for value in target.values[target.values >= _SHOWN_SHARE * largest]:
        takeoff = matrix.takeoff_time(depth, float(value), start, target.rate)
        if takeoff is not None:
            settle = _AFTER_TAKEOFF / matrix.relaxation_rate(depth, float(value), target.rate)
            latest = max(latest, takeoff + settle)
    return latest


def _cost(target: Target, depth: int) -> float:
    """Multiplications of one step: forward, backward and gradients."""
    rows, columns = target.matrix.shape
    return float(3 * depth * rows * columns * min(rows, columns))


def _step_budget(target: Target, depth: int) -> int:
    return int(min(max(_BUDGET / _cost(target, depth), _FEWEST_STEPS), _MOST_STEPS))
