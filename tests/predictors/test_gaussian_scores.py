"""The chance of a right answer against an adaptive integral, a closed form, and draws."""

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats

from dlgen_cli.predictors.gaussian_scores import right_lower, risk_upper


def scores(examples, classes, seed, spread=1.0):
    source = torch.Generator().manual_seed(seed)
    means = torch.randn(examples, classes, generator=source) * 2
    deviations = (torch.rand(examples, classes, generator=source) + 0.1) * spread
    return means, deviations, torch.randint(classes, (examples,), generator=source)


def exact(means, deviations, label):
    a, s = means.double().numpy(), deviations.double().numpy()
    others = np.arange(len(a)) != label

    def integrand(u):
        ahead = (a[label] - a + s[label] * u) / s
        return stats.norm.pdf(u) * stats.norm.cdf(ahead[others]).prod()

    return integrate.quad(integrand, -9, 9, limit=500, epsabs=1e-10, points=range(-8, 9))[0]


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_it_is_below_the_integral_by_at_most_a_cell(spread):
    means, deviations, labels = scores(4, 4, 0, spread)
    for cells in (16, 4096):
        found = right_lower(means, deviations, labels, cells=cells)
        for one, *rest in zip(found.tolist(), means, deviations, labels.tolist(), strict=True):
            whole = exact(*rest)
            assert whole - 1 / cells - 1e-7 <= one <= whole + 1e-9


def test_of_two_classes_it_is_a_normal_distribution_function():
    means, deviations, labels = scores(500, 2, 1)
    row = torch.arange(500)
    gap = means.double()[row, labels] - means.double()[row, 1 - labels]
    whole = torch.special.ndtr(gap / deviations.double().square().sum(1).sqrt())
    found = right_lower(means, deviations, labels)
    assert bool((found <= whole).all())
    assert bool((found >= whole - 1 / 4096 - 1e-7).all())


def test_certain_answers_and_large_numbers_stay_on_the_safe_side():
    means = torch.tensor([[1e30, -1e30], [0.0, 1e3], [1e-30, 0.0]])
    deviations = torch.tensor([[1.0, 1.0], [1e-3, 1e-3], [1e-38, 1e-38]])
    found = right_lower(means, deviations, torch.zeros(3, dtype=torch.int64))
    assert 1 - 1 / 4096 - 1e-6 <= found[0] <= 1 - 1 / 4096
    assert found[1] == 0
    assert 0.99 < found[2] < 1


def test_the_risk_is_the_mean_and_near_that_of_draws():
    means, deviations, labels = scores(200, 10, 2)
    noise = torch.randn(4000, 200, 10, generator=torch.Generator().manual_seed(3))
    wrong = (means + deviations * noise).argmax(2) != labels
    found = risk_upper(means, deviations, labels, cells=1024)
    assert found == pytest.approx(float(wrong.float().mean()), abs=3e-3)
    assert found >= 1 - float(right_lower(means, deviations, labels, cells=1024).mean()) - 1e-15


@pytest.mark.parametrize("low", [-38.0, -8.0, -1.0, 4.0])
def test_the_library_s_distribution_function_errs_far_less_than_is_paid(low):
    at = torch.linspace(low, low + 4, 200, dtype=torch.float64)
    for x, found in zip(at.tolist(), torch.special.ndtr(at).tolist(), strict=True):
        assert abs(mpmath.mpf(found) - mpmath.ncdf(x)) <= 1e-15
    levels = torch.arange(1, 4096, 17, dtype=torch.float64) / 4096
    for v, found in zip(levels.tolist(), torch.special.ndtri(levels).tolist(), strict=True):
        assert abs(mpmath.ncdf(found) - v) <= 1e-13
