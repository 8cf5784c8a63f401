"""Maurer's moment against its sum, exact for few examples and by mpmath for many."""

from fractions import Fraction
from math import comb

import mpmath
import numpy as np
import pytest
from scipy import stats

from dlgen_cli.bounds.maurer import moment_upper, source_moment


def exact(m):
    total = Fraction(0)
    for k in range(m + 1):
        q = Fraction(k, m)
        total += comb(m, k) * q**k * (1 - q) ** (m - k)
    return total


@pytest.mark.parametrize("m", [*range(1, 40), 97, 200])
def test_it_is_above_the_exact_sum_and_close(m):
    excess = Fraction(moment_upper(m)) - exact(m)
    assert 0 < excess < Fraction(3, 100 * m)
    assert exact(m) <= Fraction(source_moment(m))


@pytest.mark.parametrize("m", [1000, 54_321, 10**6, 10**9, 10**12])
def test_it_is_above_the_closed_form_of_the_sum_and_close(m):
    with mpmath.workdps(60):
        # sum_(k <= m) m^k/k! = e^m Q(m + 1, m), Q the regularised incomplete gamma function
        regularised = mpmath.gammainc(m + 1, m, regularized=True) if m < 10**6 else None
        if regularised is None:
            theta = mpmath.mpf(1) / 3 + mpmath.mpf(4) / 135 / m - mpmath.mpf(8) / 2835 / m**2
            ln_robbins = 1 / mpmath.mpf(12 * m) - 1 / mpmath.mpf(360) / m**3
            sum_ = mpmath.sqrt(mpmath.pi * m / 2) * mpmath.exp(ln_robbins) + 1 - theta
        else:
            logarithm = mpmath.loggamma(m + 1) + m - m * mpmath.log(m)
            sum_ = mpmath.exp(logarithm) * regularised
        excess = mpmath.mpf(str(moment_upper(m))) - sum_
        assert 0 < excess < mpmath.mpf("0.03") / m


@pytest.mark.parametrize("m", [5, 50])
@pytest.mark.parametrize("p", [0.01, 0.3, 0.5])
def test_it_is_the_moment_of_coins(m, p):
    q = np.arange(m + 1) / m
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(q > 0, q * np.log(q / p), 0) + np.where(
            q < 1, (1 - q) * np.log((1 - q) / (1 - p)), 0
        )
    moment = stats.binom.pmf(np.arange(m + 1), m, p) @ np.exp(m * kl)
    assert moment == pytest.approx(float(exact(m)), rel=1e-9)
