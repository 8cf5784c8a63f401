"""Gradient descent on the factors beside gradient flow."""

import itertools

import numpy as np
import pytest

from dlgen_cli.errors import UsageError
from dlgen_cli.implicit import factorization, plan, targets


def make(spectrum=(5.0, 3.0, 1.0), shape=(7, 5), seed=0):
    return targets.from_spectrum(spectrum, shape, seed)


def compare(target, depth, *, start=1e-2, aligned=True, **choices):
    made = plan.make_plan(target, depth, start, aligned=aligned, **choices)
    return factorization.compare(target, made, aligned=aligned, seed=3)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_deviation_from_the_theory_is_of_order_one_in_the_step(depth):
    target = make()
    first = plan.make_plan(target, depth, 1e-2)
    time = first.step * first.steps
    runs = [compare(target, depth, time=time, step=first.step / 2**k) for k in range(3)]
    bound = 1.25 * runs[0].expected_deviation / runs[0].plan.step
    for run in runs:
        assert run.largest_deviation <= bound * run.plan.step
        assert run.largest_deviation == pytest.approx(run.expected_deviation, rel=0.1)
    for coarse, fine in itertools.pairwise(runs):
        assert coarse.largest_deviation / fine.largest_deviation == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_takeoffs_are_measured_where_they_are_predicted(depth):
    run = compare(make(), depth)
    for told, seen in zip(run.takeoff_predicted[:3], run.takeoff_measured[:3], strict=True):
        assert seen == pytest.approx(told, rel=0.03)
    assert run.takeoff_predicted[3:] == run.takeoff_measured[3:] == (None, None)


def test_takeoffs_are_measured_between_recorded_steps():
    target = make()
    coarse = plan.Plan(depth=2, start=1e-2, step=0.1, steps=6000, recorded=(0, 3000, 6000))
    fine = plan.Plan(depth=2, start=1e-2, step=0.1, steps=6000, recorded=tuple(range(6001)))
    few, all_ = (
        factorization.compare(target, one, aligned=True, seed=0).takeoff_measured
        for one in (coarse, fine)
    )
    assert few[:3] == pytest.approx(all_[:3], rel=1e-9)


def test_an_aligned_run_stays_aligned():
    assert compare(make(), 3).misalignment < 1e-12


def test_an_unaligned_run_deviates_and_still_learns_one_value_after_another():
    run = compare(make(), 2, aligned=False)
    assert run.misalignment > 0.3
    assert run.largest_deviation > 10 * run.expected_deviation
    seen = run.takeoff_measured[:3]
    assert list(seen) == sorted(seen)
    np.testing.assert_allclose(run.run[-1][:3], [5, 3, 1], rtol=1e-2)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("aligned", [True, False])
def test_the_start_is_balanced_and_small(depth, aligned):
    target = make()
    factors = factorization.start_factors(target, depth, 1e-3, aligned=aligned, seed=1)
    for inner, outer in itertools.pairwise(factors):
        np.testing.assert_allclose(outer.T @ outer, inner @ inner.T, atol=1e-15)
    values = np.linalg.svd(factorization.multiply(factors), compute_uv=False)
    assert np.sqrt(np.mean(values**2)) == pytest.approx(1e-3, rel=1e-9)
    if aligned:
        np.testing.assert_allclose(values, 1e-3, rtol=1e-9)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_step_follows_the_gradient_of_the_loss(depth):
    target = make(shape=(4, 3))
    random = np.random.default_rng(0)
    sizes = [3] * depth + [4]
    factors = [random.standard_normal((sizes[j + 1], sizes[j])) for j in range(depth)]

    def loss(trial):
        difference = factorization.multiply(trial) - target.matrix
        return 0.5 * target.rate * float(np.sum(difference**2))

    moved = list(factors)
    factorization.advance(moved, target, 1.0, 1)
    for index, factor in enumerate(factors):
        direction = random.standard_normal(factor.shape)
        slopes = []
        for width in (1e-5, -1e-5):
            trial = list(factors)
            trial[index] = factor + width * direction
            slopes.append(loss(trial))
        numeric = (slopes[0] - slopes[1]) / 2e-5
        gradient = factor - moved[index]
        assert float(np.sum(gradient * direction)) == pytest.approx(numeric, rel=1e-6)


def test_the_same_seed_gives_the_same_run():
    first, second = (compare(make(), 2, aligned=False) for _ in range(2))
    np.testing.assert_array_equal(first.run, second.run)


def test_a_diverging_run_is_an_error():
    target = make((1.0,), (1, 1))
    reckless = plan.Plan(depth=3, start=30.0, step=5.0, steps=50, recorded=tuple(range(0, 51, 10)))
    with pytest.raises(UsageError, match="diverged"):
        factorization.compare(target, reckless, aligned=True, seed=0)


def test_a_start_above_all_targets_falls_and_has_no_takeoff():
    run = compare(make(), 2, start=20.0)
    assert run.takeoff_predicted == run.takeoff_measured == (None,) * 5
    assert run.largest_deviation <= 1.25 * run.expected_deviation
    assert np.all(np.diff(run.run[:, 0]) <= 1e-12)
