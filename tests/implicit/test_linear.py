"""The theorem of linear regression beside real runs."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.implicit import linear, problems, results
from dlgen_cli.implicit.optimizers import OPTIMIZERS

KEPT = ("gd", "sgd", "momentum")
LEFT = ("adam", "sign")
SHAPES = {
    "random": {"points": 20, "dim": 100},
    "one point": {"points": 1, "dim": 5},
    "square": {"points": 30, "dim": 30},
    "rank-deficient": {"points": 40, "dim": 60, "rank": 7},
    "more points than features": {"points": 50, "dim": 20},
    "ill-conditioned": {"points": 20, "dim": 100, "condition": 1e6},
    "ill-conditioned and rank-deficient": {"points": 30, "dim": 60, "condition": 1e6, "rank": 10},
}


def set_up(init="gaussian", seed=0, scale=1.0, **sizes):
    problem = problems.generate_problem(seed=seed, **sizes)
    start = problems.make_start(init, scale, problem.points.shape[1], seed)
    return problem, linear.analyse(problem, start)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("init", ["zeros", "gaussian"])
@pytest.mark.parametrize("optimizer", KEPT)
def test_the_identity_holds_for_optimizers_in_the_span(name, init, optimizer):
    problem, theory = set_up(init, **SHAPES[name])
    outcome = linear.run_optimizer(problem, theory, optimizer)
    assert outcome.identity_residual <= 1e-9
    assert outcome.in_span
    assert outcome.converged
    assert outcome.theorem_applied
    assert outcome.norm_run == pytest.approx(theory.norm_theory, rel=1e-9)
    assert outcome.suboptimality <= theory.norm_perpendicular + 1e-9 * theory.norm_theory
    assert outcome.distance_to_theory <= 1e-8 * theory.norm_theory


@pytest.mark.parametrize("name", ["random", "rank-deficient"])
@pytest.mark.parametrize("init", ["zeros", "gaussian"])
@pytest.mark.parametrize("optimizer", LEFT)
def test_adam_and_sign_leave_the_span(name, init, optimizer):
    problem, theory = set_up(init, **SHAPES[name])
    outcome = linear.run_optimizer(problem, theory, optimizer)
    assert outcome.final_loss < 1e-20
    assert outcome.out_of_span > 0.1
    assert not outcome.in_span
    assert not outcome.theorem_applied
    assert outcome.identity_residual > 1e-3
    assert "did not apply" in results.verdict(outcome)


def test_from_zero_adam_breaks_the_bound():
    problem, theory = set_up("zeros", **SHAPES["random"])
    outcome = linear.run_optimizer(problem, theory, "adam")
    assert outcome.suboptimality > theory.norm_perpendicular + 0.1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_where_points_span_everything_no_run_can_leave(optimizer):
    problem, theory = set_up(**SHAPES["more points than features"])
    outcome = linear.run_optimizer(problem, theory, optimizer)
    assert outcome.in_span
    assert theory.norm_perpendicular == 0
    assert outcome.norm_run == pytest.approx(theory.norm_minimum, rel=1e-9)


@pytest.mark.parametrize("condition", [10.0, 1e3, 1e6])
def test_the_theory_agrees_with_fifty_digits(condition):
    problem, theory = set_up(points=6, dim=9, condition=condition)
    with mpmath.workdps(50):
        x = mpmath.matrix(problem.points.tolist())
        y, alpha = mpmath.matrix(problem.labels.tolist()), mpmath.matrix(theory.start.tolist())
        minimum = x.T * mpmath.lu_solve(x * x.T, y)
        limit = alpha + x.T * mpmath.lu_solve(x * x.T, y - x * alpha)
        exact_minimum, exact_limit = mpmath.norm(minimum), mpmath.norm(limit)
        outside = mpmath.norm(limit - minimum)
    assert theory.norm_minimum == pytest.approx(float(exact_minimum), rel=1e-9)
    assert theory.norm_theory == pytest.approx(float(exact_limit), rel=1e-9)
    assert theory.norm_perpendicular == pytest.approx(float(outside), rel=1e-9)


def test_an_example_by_hand():
    # One point (3, 4) with label 25 from alpha = (10, 5): w* = (3, 4), P alpha = (4, -3).
    problem = problems.make_problem(np.array([[3.0, 4.0]]), np.array([25.0]), "hand")
    theory = linear.analyse(problem, np.array([10.0, 5.0]))
    np.testing.assert_allclose(theory.minimum, [3, 4], atol=1e-14)
    np.testing.assert_allclose(theory.perpendicular, [4, -3], atol=1e-14)
    assert Fraction(round(theory.norm_theory**2, 9)) == 50


@settings(max_examples=40)
@given(
    points=st.integers(1, 12),
    dim=st.integers(1, 12),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_laws_of_the_theory(points, dim, seed, scale):
    problem, theory = set_up(seed=seed, scale=scale, points=points, dim=dim)
    least, away, whole = theory.norm_minimum, theory.norm_perpendicular, theory.norm_theory
    assert whole**2 == pytest.approx(least**2 + away**2, rel=1e-9)
    assert whole - least <= away * (1 + 1e-9)
    residual = problem.points @ theory.limit - problem.labels
    assert np.linalg.norm(residual) <= 1e-9 * theory.largest * (whole + 1)
    assert abs(theory.minimum @ theory.perpendicular) <= 1e-9 * (least * away + 1e-30)
    longer = np.linalg.lstsq(problem.points, problem.labels, rcond=None)[0]
    assert least == pytest.approx(float(np.linalg.norm(longer)), rel=1e-6)


def test_preconditioning_keeps_the_span_and_the_solutions():
    problem, theory = set_up(**SHAPES["ill-conditioned and rank-deficient"])
    system = linear.precondition(problem, theory.rank)
    rows = system.matrix
    np.testing.assert_allclose(rows @ rows.T, np.eye(theory.rank), atol=1e-13)
    assert np.linalg.norm(theory.outside(rows[0])) < 1e-9
    np.testing.assert_allclose(rows @ theory.minimum, system.right_side, rtol=1e-7, atol=1e-8)


def test_preconditioning_is_for_runs_that_need_it():
    easy, hard = (set_up(**SHAPES[name]) for name in ("random", "ill-conditioned"))
    assert not linear.run_optimizer(*easy, "gd").preconditioned
    assert linear.run_optimizer(*hard, "gd").preconditioned
    assert linear.run_optimizer(*easy, "gd", mixing="always").preconditioned


def test_a_run_that_stops_short_says_so():
    problem, theory = set_up(**SHAPES["ill-conditioned"])
    outcome = linear.run_optimizer(problem, theory, "gd", steps=200, mixing="never")
    assert outcome.in_span
    assert not outcome.converged
    assert not outcome.theorem_applied
    assert outcome.distance_to_theory <= outcome.norm_error_upper
    assert outcome.distance_to_theory > 0.1
    assert "stopped short" in results.verdict(outcome)


def test_a_given_rate_is_used_and_too_large_a_one_is_an_error():
    problem, theory = set_up(**SHAPES["random"])
    for optimizer in KEPT:
        outcome = linear.run_optimizer(problem, theory, optimizer, learning_rate=5e-3)
        assert outcome.descent.learning_rate == 5e-3
        assert outcome.in_span
    with pytest.raises(UsageError, match="diverged"):
        linear.run_optimizer(problem, theory, "gd", learning_rate=10.0)


def test_inconsistent_labels_are_an_error():
    points = np.array([[1.0, 0.0], [1.0, 0.0]])
    problem = problems.make_problem(points, np.array([1.0, 2.0]), "twins")
    with pytest.raises(DataError, match=r"twins are inconsistent.*0\.316"):
        linear.analyse(problem, np.zeros(2))


def test_consistent_twins_are_solved_by_the_pseudoinverse():
    points = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]])
    problem = problems.make_problem(points, np.array([5.0, 10.0]), "twins")
    theory = linear.analyse(problem, np.array([0.0, 0.0, 3.0]))
    assert theory.rank == 1
    np.testing.assert_allclose(theory.limit, [1, 2, 3], atol=1e-14)


def test_zero_labels_from_zero_need_no_step():
    problem = problems.make_problem(np.ones((2, 3)), np.zeros(2), "zero")
    theory = linear.analyse(problem, np.zeros(3))
    outcome = linear.run_optimizer(problem, theory, "gd")
    assert outcome.descent.steps == 0
    assert outcome.norm_run == outcome.identity_residual == 0
    assert outcome.theorem_applied


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_do_not_matter(optimizer, unit):
    problem, theory = set_up("zeros", **SHAPES["random"])
    scaled = problems.make_problem(problem.points * unit, problem.labels * unit, "scaled")
    one = linear.run_optimizer(problem, theory, optimizer)
    other = linear.run_optimizer(scaled, linear.analyse(scaled, theory.start), optimizer)
    assert (one.in_span, one.theorem_applied) == (other.in_span, other.theorem_applied)
    if one.in_span:
        assert other.norm_run == pytest.approx(one.norm_run, rel=1e-9)


def test_the_path_starts_at_the_start_and_ends_at_the_result():
    problem, theory = set_up(**SHAPES["random"])
    descent = linear.run_optimizer(problem, theory, "sgd").descent
    assert descent.recorded[0] == 0
    assert descent.recorded[-1] == descent.steps
    assert descent.norms[0] == pytest.approx(np.linalg.norm(theory.start))
    assert list(descent.recorded) == sorted(set(descent.recorded))


def test_the_same_seed_gives_the_same_run():
    problem, theory = set_up(**SHAPES["random"])
    first, second, other = (
        linear.run_optimizer(problem, theory, "sgd", seed=seed, steps=50) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.descent.weights, second.descent.weights)
    assert not np.array_equal(first.descent.weights, other.descent.weights)
