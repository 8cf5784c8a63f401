"""What the two commands report: plain numbers and lists, complete for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlgen_cli.implicit import matrix
from dlgen_cli.implicit.factorization import Comparison
from dlgen_cli.implicit.linear import Outcome, Theory
from dlgen_cli.implicit.problems import Problem
from dlgen_cli.implicit.targets import Target

#: Rows of a table on a page; scripts get all of them.
_MOST_ROWS = 12
#: Points of a curve of the theory in a plot.
_CURVE_POINTS = 500
#: What a page says of the theorem; X has the points in its rows.
_IDENTITY = (
    "‖w̃‖² = ‖w*‖² + ‖P⊥α‖², with w̃ = α + X⁺(y − Xα) where training from α ends, w* = X⁺y the "
    "interpolant of least norm, and P⊥α the part of α that is orthogonal to all points"
)
#: Of a singular value that starts at ε and has the target s, by depth; c = 1/(d d').
_FLOW = "dσ/dt = −N·c·(σ²)^(1 − 1/N)·(σ − s)"
_SOLUTIONS = {
    1: "σ(t) = s + (ε − s)·e^(−c·t)",
    2: "σ(t) = s/(1 + (s/ε − 1)·e^(−2·c·s·t)), half way at t = ln(s/ε − 1)/(2·c·s)",
}
_TAKEOFF_DEFINITION = "the time at which a singular value reaches half its target"


def linear_results(problem: Problem, theory: Theory, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Results of ``dlgen implicit linear``.

    Args:
        problem: points and labels.
        theory: the theorem's vectors.
        outcomes: one for each optimizer; the first stands at the top level.

    Returns:
        Numbers, texts and lists by the keys of the contract.
    """
    shared = {
        "points": problem.points.shape[0],
        "dimension": problem.points.shape[1],
        "rank": theory.rank,
        "condition_number": theory.condition,
        "norm_theory": theory.norm_theory,
        "norm_minimum": theory.norm_minimum,
        "norm_perpendicular": theory.norm_perpendicular,
        "bound": theory.norm_perpendicular,
        "identity_theory": theory.norm_minimum**2 + theory.norm_perpendicular**2,
    }
    rows = [_outcome(outcome) for outcome in outcomes]
    results: dict[str, Any] = {**rows[0], **shared}
    if len(rows) > 1:
        results["optimizers"] = rows
    return results


def _outcome(outcome: Outcome) -> dict[str, Any]:
    descent = outcome.descent
    return {
        "optimizer": outcome.optimizer,
        "verdict": verdict(outcome),
        "theorem_applied": outcome.theorem_applied,
        "in_span": outcome.in_span,
        "out_of_span": outcome.out_of_span,
        "converged": outcome.converged,
        "norm_run": outcome.norm_run,
        "suboptimality": outcome.suboptimality,
        "identity_run": outcome.norm_run**2,
        "identity_residual": outcome.identity_residual,
        "final_loss": outcome.final_loss,
        "distance_to_theory": outcome.distance_to_theory,
        "norm_error_upper": outcome.norm_error_upper,
        "steps": descent.steps,
        "learning_rate": descent.learning_rate,
        "preconditioned": outcome.preconditioned,
        "path_steps": list(descent.recorded),
        "path_norms": list(descent.norms),
        "path_outside": [away / (max(descent.travelled) or 1.0) for away in descent.outside],
    }


def verdict(outcome: Outcome) -> str:
    """One sentence: did the updates keep to the span, and did the theorem apply?"""
    if not outcome.in_span:
        share = f"{100.0 * outcome.out_of_span:.2g} %"
        return f"left the span ({share} of the way lies outside): the theorem did not apply"
    if not outcome.converged:
        return (
            "kept to the span but stopped short of zero loss: the theorem says where it would "
            f"end, {outcome.distance_to_theory:.2g} away"
        )
    how = " (equations preconditioned, which keeps the span)" if outcome.preconditioned else ""
    return f"kept to the span and reached zero loss{how}: the theorem applied"


def linear_page(results: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a reader: the theorem first, no paths, and a table that fits 80 columns."""
    several = "optimizers" in results
    page: dict[str, Any] = {
        "problem": f"{results['points']:,} points, {results['dimension']:,} features, "
        f"rank {results['rank']:,}",
        "theorem": _IDENTITY,
        "with the numbers": f"{results['identity_theory']:.6g} = "
        f"{results['norm_minimum'] ** 2:.6g} + {results['norm_perpendicular'] ** 2:.6g}",
    }
    names = ["condition_number", "norm_minimum", "norm_perpendicular", "norm_theory", "norm_run"]
    names += ["suboptimality", "bound", "identity_theory", "identity_run", "identity_residual"]
    names += ["optimizer", "verdict", "in_span", "out_of_span", "final_loss"]
    names += [
        "distance_to_theory",
        "norm_error_upper",
        "steps",
        "learning_rate",
        "preconditioned",
    ]
    page.update({name: results[name] for name in names if results[name] is not None})
    if several:
        page["optimizers"] = [
            {
                "optimizer": row["optimizer"],
                "norm": row["norm_run"],
                "out_of_span": row["out_of_span"],
                "identity_residual": row["identity_residual"],
                "steps": row["steps"],
                "theorem": _applied(row),
            }
            for row in results["optimizers"]
        ]
    return page


def _applied(row: Mapping[str, Any]) -> str:
    if row["theorem_applied"]:
        return "applied"
    return "not converged" if row["in_span"] else "did not apply"


def matrix_results(
    target: Target, comparisons: Sequence[Comparison], *, start: float, aligned: bool
) -> dict[str, Any]:
    """Results of ``dlgen implicit matrix``.

    Args:
        target: the matrix ``W*``.
        comparisons: one for each depth; the first stands at the top level.
        start: ``epsilon``.
        aligned: whether the start had the target's singular vectors.

    Returns:
        Numbers, texts and lists by the keys of the contract.
    """
    rows = [
        _comparison(one, largest=float(target.values[0]), aligned=aligned) for one in comparisons
    ]
    results: dict[str, Any] = {
        "target": target.origin,
        "shape": list(target.matrix.shape),
        "spectrum": target.values.tolist(),
        "rate": target.rate,
        "epsilon": start,
        "aligned": aligned,
        "takeoff_definition": _TAKEOFF_DEFINITION,
        **rows[0],
    }
    if len(rows) > 1:
        results["depths"] = rows
    return results


def _comparison(one: Comparison, *, largest: float, aligned: bool) -> dict[str, Any]:
    return {
        "depth": one.plan.depth,
        "step": one.plan.step,
        "steps": one.plan.steps,
        "largest_deviation": one.largest_deviation,
        "largest_deviation_relative": one.largest_deviation / largest,
        # Of the step alone; a start that is not aligned deviates for another reason.
        "largest_deviation_expected": one.expected_deviation if aligned else None,
        "largest_misalignment": one.misalignment,
        "final_loss": one.final_loss,
        "takeoff_predicted": list(one.takeoff_predicted),
        "takeoff_measured": list(one.takeoff_measured),
        "times": one.times.tolist(),
        "theory": one.theory.tolist(),
        "run": one.run.tolist(),
    }


def matrix_page(results: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a reader: one table of takeoffs, and for one depth the curves."""
    rows, columns = results["shape"]
    depths = results.get("depths", [results])
    page: dict[str, Any] = {
        "target": f"{results['target']}, {rows} × {columns}",
        "spectrum": results["spectrum"],
        "rate c = 1/(d d')": results["rate"],
        "start": f"{'aligned with' if results['aligned'] else 'not aligned with'} the target, "
        "balanced",
        "flow": _FLOW,
        **{
            f"solution for N = {row['depth']}": _SOLUTIONS.get(
                row["depth"], "the flow, integrated numerically"
            )
            for row in depths
        },
        "takeoff": results["takeoff_definition"],
    }
    if len(depths) == 1:
        names = ("step", "steps", "largest_deviation", "largest_deviation_relative")
        page.update({name: results[name] for name in names})
        page["deviation expected of the step"] = results["largest_deviation_expected"]
        page["largest_misalignment"] = results["largest_misalignment"]
    else:
        page["runs"] = [
            {
                "depth": row["depth"],
                "step": row["step"],
                "steps": row["steps"],
                "largest_deviation": row["largest_deviation"],
                "expected_of_the_step": row["largest_deviation_expected"],
            }
            for row in depths
        ]
    page["takeoffs"] = [line for row in depths for line in _takeoffs(results["spectrum"], row)]
    if len(depths) == 1:
        page.update({name: results[name] for name in ("times", "theory", "run")})
    return page


def curve_panels(
    target: Target, comparisons: Sequence[Comparison], *, aligned: bool
) -> list[dict[str, Any]]:
    """What a plot needs of each depth: the theory also between the recorded steps.

    Args:
        target: the matrix ``W*``.
        comparisons: one for each depth.
        aligned: whether the start had the target's singular vectors.

    Returns:
        For each depth the depth, the targets, the run, the theory and the takeoffs predicted.
    """
    panels = []
    for one in comparisons:
        plan = one.plan
        times = np.linspace(0.0, float(one.times[-1]), _CURVE_POINTS)
        curves, _ = matrix.solve(plan.depth, times, target.values, plan.start, target.rate)
        panels.append(
            {
                "depth": plan.depth,
                "aligned": aligned,
                "spectrum": target.values.tolist(),
                "times": one.times.tolist(),
                "run": one.run.tolist(),
                "theory_times": times.tolist(),
                "theory": curves.tolist(),
                "takeoff": list(one.takeoff_predicted),
            }
        )
    return panels


def _takeoffs(spectrum: Sequence[float], row: Mapping[str, Any]) -> list[dict[str, Any]]:
    triples = zip(spectrum, row["takeoff_predicted"], row["takeoff_measured"], strict=True)
    return [
        {"depth": row["depth"], "target": value, "predicted": told, "measured": seen}
        for value, told, seen in list(triples)[:_MOST_ROWS]
        if value > 0
    ]
