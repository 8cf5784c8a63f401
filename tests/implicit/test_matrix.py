"""Closed forms and the integrator against their own differential equation and against others."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dlgen_cli.implicit import matrix

ORDERS = 10.0 ** np.arange(-6, 7)
PAIRS = list(itertools.product(ORDERS, ORDERS))
TIMES = np.concatenate([[0.0], 10.0 ** np.arange(-6, 6.5, 0.5)])
CLOSED = {1: matrix.solve_one, 2: matrix.solve_two}


def velocity(depth, values, gaps, rate):
    return depth * rate * values ** (2 - 2 / depth) * gaps


@pytest.mark.parametrize("depth", [1, 2])
def test_closed_forms_satisfy_the_equation_over_twelve_orders(depth):
    # Derivatives by a complex step share nothing with the formula. Of sigma it is exact before
    # the target is near, of s - sigma after: as a sum of like terms each loses digits elsewhere.
    width = 1e-30
    for target, start in PAIRS:
        stepped = CLOSED[depth](TIMES + 1j * width, target, start, 1.0)
        rising, falling = (part.imag / width for part in stepped)
        values, gaps = CLOSED[depth](TIMES, target, start, 1.0)
        expected = velocity(depth, values, gaps, 1.0)
        residual = np.minimum(np.abs(rising - expected), np.abs(falling + expected))
        resolved = np.abs(expected) > 1e-250
        assert np.all(residual[resolved] <= 1e-10 * np.abs(expected)[resolved])
        # And as printed, with s - sigma subtracted, relative to the size of its terms.
        scale = velocity(depth, values, values + target, 1.0)
        printed = velocity(depth, values, target - values, 1.0)
        assert np.all(np.abs(rising - printed) <= 1e-10 * scale)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 8])
def test_start_and_end_over_twelve_orders(depth):
    for target, start in PAIRS:
        values, gaps = matrix.solve(depth, TIMES, np.array([target]), start, 1.0)
        assert np.isfinite(values).all()
        assert np.isfinite(gaps).all()
        assert values[0, 0] == pytest.approx(start, rel=1e-13)
        low, high = sorted([start, target])
        assert np.all(values >= low * (1 - 1e-13))
        assert np.all(values <= high * (1 + 1e-13))
        assert np.all(np.diff(values[:, 0]) * (target - start) >= -1e-13 * high * abs(target))
        assert np.all(np.abs(target - values - gaps) <= 1e-13 * max(start, target))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("target", "start"),
    [(1.0, 1e-6), (1.0, 1e-3), (30.0, 1e-6), (1e6, 1.0), (1e-2, 1e-6), (1.0, 1e3), (1e-3, 1.0)],
)
def test_agrees_with_an_independent_integrator(depth, target, start):
    rate = 0.01
    takeoff = matrix.takeoff_time(depth, target, start, rate) or 0.0
    last = takeoff + 8.0 / matrix.relaxation_rate(depth, target, rate)
    times = np.linspace(0.0, last, 25)

    def log_velocity(_time, logarithm):
        value = math.exp(logarithm[0])
        return [depth * rate * value ** (1 - 2 / depth) * (target - value)]

    falling = start > target
    reference = solve_ivp(
        log_velocity,
        (0.0, last),
        [math.log(start)],
        method="Radau" if falling else "DOP853",
        rtol=1e-11 if falling else 3e-13,
        atol=1e-13,
        t_eval=times,
    )
    values, _ = matrix.solve(depth, times, np.array([target]), start, rate)
    np.testing.assert_allclose(values[:, 0], np.exp(reference.y[0]), rtol=1e-8)


def test_two_matrices_are_logistic():
    times = np.linspace(0.0, 50.0, 11)
    values, _ = matrix.solve(2, times, np.array([3.0]), 0.01, 0.05)
    textbook = 3.0 / (1 + (3.0 / 0.01 - 1) * np.exp(-2 * 0.05 * 3.0 * times))
    np.testing.assert_allclose(values[:, 0], textbook, rtol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("target", [1e-6, 1.0, 1e6])
def test_takeoff_is_where_half_the_target_is_reached(depth, target):
    for start in target * np.array([1e-9, 1e-3, 0.1, 0.49]):
        takeoff = matrix.takeoff_time(depth, target, start, 0.5)
        value, _ = matrix.solve(depth, np.array([takeoff]), np.array([target]), start, 0.5)
        assert value[0, 0] == pytest.approx(0.5 * target, rel=1e-9)


def test_takeoff_of_two_matrices_is_the_printed_formula():
    expected = math.log(3.0 / 1e-3 - 1) / (2 * 0.1 * 3.0)
    assert matrix.takeoff_time(2, 3.0, 1e-3, 0.1) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_takeoff_from_half_the_target_or_above(depth):
    assert matrix.takeoff_time(depth, 2.0, 1.0, 0.1) is None
    assert matrix.takeoff_time(depth, 2.0, 5.0, 0.1) is None
    assert matrix.takeoff_time(depth, 0.0, 1e-3, 0.1) is None


def test_takeoffs_are_together_for_one_matrix_and_apart_for_more():
    targets = (5.0, 3.0, 1.0)
    spread = {}
    for depth in (1, 2, 3):
        times = [matrix.takeoff_time(depth, target, 1e-4, 0.1) for target in targets]
        spread[depth] = max(times) / min(times)
        if depth > 1:
            assert times == sorted(times)
    assert spread[1] < 1.001
    assert spread[2] > 3
    assert spread[3] > spread[2]


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_zero_target_decays_by_a_power_law(depth):
    times = np.array([0.0, 1.0, 1e6])
    values, gaps = matrix.solve(depth, times, np.array([0.0]), 0.5, 0.1)
    power = 2 - 2 / depth
    expected = (0.5**-power + depth * power * 0.1 * times) ** (-1 / power)
    np.testing.assert_allclose(values[:, 0], expected, rtol=1e-13)
    np.testing.assert_array_equal(gaps, -values)


def test_a_start_on_the_target_stays():
    for depth in (1, 2, 3):
        values, gaps = matrix.solve(depth, TIMES, np.array([0.7]), 0.7, 1.0)
        np.testing.assert_allclose(values, 0.7, rtol=1e-14)
        np.testing.assert_array_equal(gaps, 0.0)
