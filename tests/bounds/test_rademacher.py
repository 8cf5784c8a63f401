"""Rademacher-shell bounds against 60 digits and against sampling."""

import math

import mpmath
import numpy as np
import pytest
from exact import close_above

from dlgen_cli.bounds import Box, expected, markov, printed
from dlgen_cli.bounds.rademacher import informative_distance, shell_volume


def a_box(**changes):
    facts = {
        "parameters": 12_288,
        "linf_norm": 0.4999999,
        "largest": "layers.0.weight",
        "epsilon": 1e-9,
        "examples": 50_000,
        "delta": 0.05,
    }
    return Box(**(facts | changes))


BOXES = [
    a_box(),
    a_box(parameters=3, linf_norm=0.3, epsilon=0.05),
    a_box(parameters=25_600_000, linf_norm=0.5, epsilon=1e-14),
    a_box(parameters=10**9, linf_norm=0.5 - 2**-50, epsilon=1e-300),
    a_box(parameters=1, linf_norm=0.0, epsilon=0.5, delta=1e-9),
    a_box(parameters=100, linf_norm=0.4, epsilon=0.37),
]


def exact_parts(box):
    with mpmath.workdps(700):
        distance = mpmath.mpf(0.5) - mpmath.mpf(box.linf_norm)
        shell = max(1, int(mpmath.ceil(distance / mpmath.mpf(box.epsilon))))
        side = min(mpmath.mpf(1), 2 * shell * mpmath.mpf(box.epsilon))
        volume = 1 - (1 - side) ** box.parameters
    share = 6 * mpmath.mpf(box.delta) / (mpmath.pi**2 * mpmath.mpf(shell) ** 2)
    inside = 2 * mpmath.pi**2 / 3 * mpmath.mpf(shell) ** 2 * 2 / mpmath.mpf(box.delta)
    return shell, volume, share, mpmath.sqrt(2 * mpmath.log(inside) / box.examples)


@pytest.mark.parametrize("box", BOXES)
def test_expected_equals_the_formula(box):
    shell, volume, share, _ = exact_parts(box)
    bound = expected(box)
    deviation = mpmath.sqrt(mpmath.log(1 / share) / (2 * box.examples))
    assert bound.terms["shell"] == shell
    close_above(bound.terms["volume"], volume)
    close_above(bound.terms["deviation"], deviation)
    close_above(bound.value, 2 * volume + deviation)


@pytest.mark.parametrize("box", BOXES)
def test_markov_equals_the_formula_and_is_never_sharper(box):
    shell, volume, _, deviation = exact_parts(box)
    bound = markov(box)
    share = mpmath.mpf(box.delta) / 2 * 6 / (mpmath.pi**2 * shell**2)
    exact = 2 * volume / share + 4 * deviation
    if bound.value is None:  # beyond the floats
        close_above(bound.log10_value, mpmath.log10(exact))
    else:
        close_above(bound.value, exact)
    # the union over shells costs
    assert bound.log10_value > markov(box, one_shell=True).log10_value
    assert bound.log10_value > expected(box).log10_value


@pytest.mark.parametrize("box", BOXES)
def test_printed_equals_the_print_and_is_marked_invalid(box):
    _, volume, _, deviation = exact_parts(box)
    bound = printed(box)
    small = volume * mpmath.mpf(2) ** -box.parameters
    close_above(bound.value, small / (mpmath.mpf(box.delta) / 4) + deviation)
    assert bound.terms["log10_volume"] == pytest.approx(float(mpmath.log10(small)), rel=1e-12)
    assert bound.status == "not_applicable"
    assert sum(line.status == "violated" for line in bound.assumptions) == 2


def test_volume_is_that_of_the_cube_without_its_inside():
    box = a_box(parameters=4, linf_norm=0.45, epsilon=0.03)
    draws = np.random.default_rng(0).uniform(-0.5, 0.5, size=(200_000, 4))
    for shell in (1, 3, 10):
        share = np.mean(np.abs(draws).max(axis=1) >= 0.5 - shell * 0.03)
        assert float(shell_volume(box, shell)) == pytest.approx(share, abs=0.005)


def test_outside_the_box_names_the_largest_parameter():
    box = a_box(linf_norm=0.61, largest="layers.2.weight")
    for theorem in (expected, markov, printed):
        bound = theorem(box)
        assert (bound.status, bound.value) == ("not_applicable", None)
        assert any("layers.2.weight" in line.evidence for line in bound.assumptions)
    assert expected(a_box(linf_norm=0.5)).status != "not_applicable"


@pytest.mark.parametrize("parameters", [10, 12_288, 10**7])
def test_the_informative_distance_is_where_the_bound_crosses_one(parameters):
    epsilon = 1e-4 / parameters
    box = a_box(parameters=parameters, epsilon=epsilon)
    edge = informative_distance(box)
    assert 0.1 / parameters < edge < 1 / parameters
    inside = math.nextafter(0.5 - edge, 1.0)
    assert expected(a_box(parameters=parameters, epsilon=epsilon, linf_norm=inside)).value < 1
    outside = 0.5 - edge - 2 * epsilon
    assert expected(a_box(parameters=parameters, epsilon=epsilon, linf_norm=outside)).value >= 1
    best = expected(box).terms["informative_distance_any_epsilon"]
    assert best >= edge * 0.999
    at_best = a_box(parameters=parameters, epsilon=best, linf_norm=0.5)
    assert expected(at_best).value <= 1


def test_no_distance_is_informative_for_a_coarse_shell():
    assert informative_distance(a_box(epsilon=0.1)) == 0.0
