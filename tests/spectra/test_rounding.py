"""Higham's gamma, never below its exact value."""

from fractions import Fraction

import pytest

from dlgen_cli.spectra.rounding import SLACK, UNIT_ROUNDOFF, UNIT_ROUNDOFF_SINGLE, gamma


@pytest.mark.parametrize("unit", [UNIT_ROUNDOFF, UNIT_ROUNDOFF_SINGLE])
@pytest.mark.parametrize("operations", [1, 2, 3, 1000, 10**6])
def test_gamma_is_an_upper_bound_and_close(operations, unit):
    product = operations * Fraction(unit)
    exact = product / (1 - product)
    assert exact <= Fraction(gamma(operations, unit)) <= exact * (1 + Fraction(1, 10**14))


def test_slack_covers_a_dozen_roundings():
    assert Fraction(SLACK) >= (1 + Fraction(UNIT_ROUNDOFF)) ** 12
