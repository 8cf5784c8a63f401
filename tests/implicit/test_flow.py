"""The flow of deep products, against the implicit solution and the closed form of two matrices."""

import mpmath
import numpy as np
import pytest

from dlgen_cli.implicit import matrix
from dlgen_cli.implicit.flow import solve_deep


def velocity(depth, values, gaps, rate):
    return depth * rate * values ** (2 - 2 / depth) * gaps


@pytest.mark.parametrize("depth", [3, 4, 5, 9])
@pytest.mark.parametrize("start", [1e-9, 1e-4, 0.3])
def test_deep_flow_inverts_the_implicit_solution(depth, start):
    # With u^N = sigma / s:  c s^p t = [u^(2-N)/(2-N) + u^2/2 F(1, 2/N; 1 + 2/N; u^N)], 40 digits.
    target, rate = 2.0, 0.05
    takeoff = matrix.takeoff_time(depth, target, start, rate)
    after = np.array([0.0, 1.0, 5.0, 20.0]) / matrix.relaxation_rate(depth, target, rate)
    times = np.concatenate([np.array([0.1, 0.9, 0.999]) * takeoff, takeoff + after])
    values, gaps = matrix.solve(depth, times, np.array([target]), start, rate)
    with mpmath.workdps(40):

        def passage(share):
            u = share ** (mpmath.mpf(1) / depth)
            a = mpmath.mpf(2) / depth
            series = u**2 / 2 * mpmath.hyp2f1(1, a, 1 + a, share)
            return u ** (2 - depth) / mpmath.mpf(2 - depth) + series

        first = passage(mpmath.mpf(start) / target)
        scale = rate * mpmath.mpf(target) ** (2 - mpmath.mpf(2) / depth)
        for time, value, gap in zip(times, values[:, 0], gaps[:, 0], strict=True):
            early = value < 0.5 * target
            share = mpmath.mpf(value) / target if early else 1 - mpmath.mpf(gap) / target
            exact = (passage(share) - first) / scale
            speed = velocity(depth, value, gap, rate)
            assert abs(float(exact - time)) <= 1e-12 * time + 1e-12 * value / speed
        half = (passage(mpmath.mpf("0.5")) - first) / scale
        assert takeoff == pytest.approx(float(half), rel=1e-13)


def test_depth_two_is_the_limit_of_the_quadrature():
    # The quadrature of depth 3 and more also holds for 2, where its integrand is 1.
    times = np.linspace(0.0, 100.0, 21)
    for start in (1e-5, 4.0):
        closed, _ = matrix.solve(2, times, np.array([1.5]), start, 0.05)
        deep, _ = solve_deep(2, times, 1.5, start, 0.05)
        np.testing.assert_allclose(deep, closed[:, 0], rtol=1e-12)
