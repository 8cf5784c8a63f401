"""The chance of a right answer against an adaptive integral, a closed form, and draws."""

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats

from dlgen_cli.predictors.gaussian_scores import (
    GaussianScores,
    mean_risk_upper,
    normal_cdf,
    right_lower,
)


def scores(examples, classes, seed, spread=1.0):
    source = torch.Generator().manual_seed(seed)
    means = torch.randn(examples, classes, generator=source) * 2
    deviations = (torch.rand(examples, classes, generator=source) + 0.1) * spread
    labels = torch.randint(classes, (examples,), generator=source)
    return GaussianScores(means=means, deviations=deviations), labels


def exact(means, deviations, label):
    a, s = means.double().numpy(), deviations.double().numpy()
    others = np.arange(len(a)) != label

    def integrand(u):
        ahead = (a[label] - a + s[label] * u) / s
        return stats.norm.pdf(u) * stats.norm.cdf(ahead[others]).prod()

    return integrate.quad(integrand, -9, 9, limit=500, epsabs=1e-10, points=range(-8, 9))[0]


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_it_is_below_the_integral_by_at_most_a_cell(spread):
    those, labels = scores(4, 4, 0, spread)
    for cells in (16, 4096):
        found = right_lower(those, labels, cells=cells)
        rows = zip(found.tolist(), those.means, those.deviations, labels.tolist(), strict=True)
        for one, *rest in rows:
            whole = exact(*rest)
            assert whole - 1 / cells - 1e-7 <= one <= whole + 1e-9


def test_of_two_classes_it_is_a_normal_distribution_function():
    those, labels = scores(500, 2, 1)
    row, means = torch.arange(500), those.means.double()
    gap = means[row, labels] - means[row, 1 - labels]
    whole = torch.special.ndtr(gap / those.deviations.double().square().sum(1).sqrt())
    found = right_lower(those, labels)
    assert bool((found <= whole).all())
    assert bool((found >= whole - 1 / 4096 - 1e-7).all())


def test_certain_answers_and_large_numbers_stay_on_the_safe_side():
    means = torch.tensor([[1e30, -1e30], [0.0, 1e3], [1e-30, 0.0]])
    deviations = torch.tensor([[1.0, 1.0], [1e-3, 1e-3], [1e-38, 1e-38]])
    those = GaussianScores(means=means, deviations=deviations)
    found = right_lower(those, torch.zeros(3, dtype=torch.int64))
    assert 1 - 1 / 4096 - 1e-6 <= found[0] <= 1 - 1 / 4096
    assert found[1] == 0
    assert 0.99 < found[2] < 1


def test_the_risk_is_the_mean_and_near_that_of_draws():
    those, labels = scores(200, 10, 2)
    noise = torch.randn(4000, 200, 10, generator=torch.Generator().manual_seed(3))
    wrong = (those.means + those.deviations * noise).argmax(2) != labels
    right = right_lower(those, labels, cells=1024)
    found = mean_risk_upper(right)
    assert found == pytest.approx(float(wrong.float().mean()), abs=3e-3)
    assert found >= 1 - float(right.mean()) - 1e-15


def test_scores_that_do_not_move_are_right_only_where_they_are_larger():
    means = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    those = GaussianScores(means=means, deviations=torch.zeros(4, 2))
    found = right_lower(those, torch.zeros(4, dtype=torch.int64))
    assert found.tolist() == [pytest.approx(1 - 1 / 4096, abs=1e-7), 0, 0, 0]


def test_errors_of_the_scores_cover_every_score_within_them():
    those, labels = scores(50, 5, 3)
    doubtful = GaussianScores(
        means=those.means,
        deviations=those.deviations,
        mean_errors=torch.full((50, 5), 0.1),
        deviation_errors=0.05,
    )
    worst = right_lower(doubtful, labels, cells=256)
    source = torch.Generator().manual_seed(4)
    for _ in range(20):
        moved = (torch.rand(2, 50, 5, generator=source) * 2 - 1).sign()
        within = GaussianScores(
            means=those.means + 0.1 * moved[0], deviations=those.deviations * (1 + 0.05 * moved[1])
        )
        assert bool((right_lower(within, labels, cells=256) >= worst - 1e-6).all())


@pytest.mark.parametrize("low", [-38.0, -8.0, -1.0, 4.0])
def test_the_library_s_distribution_function_errs_far_less_than_is_paid(low):
    at = torch.linspace(low, low + 4, 200, dtype=torch.float64)
    for x, found in zip(at.tolist(), normal_cdf(at).tolist(), strict=True):
        assert abs(mpmath.mpf(found) - mpmath.ncdf(x)) <= 1e-15
    levels = torch.arange(1, 4096, 17, dtype=torch.float64) / 4096
    for v, found in zip(levels.tolist(), torch.special.ndtri(levels).tolist(), strict=True):
        assert abs(mpmath.ncdf(found) - v) <= 1e-13
