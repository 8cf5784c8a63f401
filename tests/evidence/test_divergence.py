"""The divergence of Gaussians, one-sided, against exact arithmetic and dense covariances."""

import mpmath
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from dlgen_cli.evidence.divergence import (
    choice_nats_upper,
    distance_nats_upper,
    log_density_ratio_upper,
    spread_nats_upper,
)
from dlgen_cli.predictors import Factor
from dlgen_cli.predictors.weight_draw import draw_weights


def exact_spread(deviations, prior):
    with mpmath.workdps(60):
        total = mpmath.mpf(0)
        for deviation in deviations:
            ratio = mpmath.mpf(deviation) / mpmath.mpf(prior)
            total += (ratio**2 - 1 - 2 * mpmath.log(ratio)) / 2
        return total


def float32(value):
    return float(torch.tensor(value, dtype=torch.float32))


RATIOS = [1e-20, 0.3, 0.999, 1 - 6e-8, 1.0, 1 + 1.2e-7, 1 + 1e-5, 1.5, 400.0]


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("prior", [float32(0.1), float32(3e-7), 2.0])
def test_one_ratio_is_exact_to_the_last_digits(ratio, prior):
    deviation = float32(ratio * prior)
    mean = torch.zeros(7, 11)
    found = spread_nats_upper(mean, deviation, prior)
    exact = 77 * exact_spread([deviation], prior)
    with mpmath.workdps(60):
        assert exact <= found <= exact * (1 + mpmath.mpf(2) ** -50)
    assert (found == 0) == (deviation == prior)


@pytest.mark.parametrize("spread", [0.0, 1e-8, 1e-7, 1e-3, 1.0, 9.0])
@pytest.mark.parametrize("prior", [float32(0.1), float32(3e-7)])
def test_a_ratio_for_each_entry_is_an_upper_bound(spread, prior):
    normals = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    deviations = prior * (spread * normals).exp()
    found = spread_nats_upper(deviations, deviations, prior)
    exact = exact_spread(deviations.tolist(), prior)
    assert exact <= found
    squares = float((deviations.double() / prior).square().sum())
    assert found - exact <= 1e-11 * squares + 3000 * 2.0**-49
    if spread == 0:
        assert found == 0


def dense(mean, deviation):
    """The covariance of all entries."""
    if isinstance(deviation, Factor):
        covariance = deviation.matrix.double() @ deviation.matrix.double().T
        return torch.block_diag(*[covariance] * len(mean))
    return (torch.as_tensor(deviation).double().expand(mean.shape).flatten() ** 2).diag()


@pytest.mark.parametrize("form", ["alike", "entries", "rows"])
def test_it_is_that_of_dense_gaussians(form):
    source = torch.Generator().manual_seed(3)
    prior_mean, mean = torch.randn(2, 4, 3, 2, generator=source)
    prior = float32(0.3)
    deviation = {
        "alike": float32(0.2),
        "entries": 0.1 + 0.4 * torch.rand(4, 3, 2, generator=source),
        "rows": Factor(0.1 * torch.randn(6, 6, generator=source).tril(-1) + 0.2 * torch.eye(6)),
    }[form]
    posterior = MultivariateNormal(mean.double().flatten(), dense(mean, deviation))
    other = MultivariateNormal(prior_mean.double().flatten(), dense(mean, prior))
    exact = float(kl_divergence(posterior, other))
    found = distance_nats_upper(mean, prior_mean, prior)
    found += spread_nats_upper(mean, deviation, prior)
    assert exact * (1 - 1e-13) <= found <= exact * (1 + 1e-9)


def test_a_factor_is_one_row_as_often_as_there_are_outputs():
    matrix = torch.diag(torch.tensor([0.1, 0.2, 0.4]))
    one = spread_nats_upper(torch.zeros(1, 3), Factor(matrix), 0.25)
    assert spread_nats_upper(torch.zeros(5, 3), Factor(matrix), 0.25) == pytest.approx(5 * one)
    assert spread_nats_upper(torch.zeros(1, 3), matrix.diagonal(), 0.25) == pytest.approx(one)


def test_a_distance_is_an_upper_bound():
    mean = torch.tensor([1.0, 2.0, 3.0])
    found = distance_nats_upper(mean, mean - 1, 0.5)
    assert 6 <= found <= 6 * (1 + 1e-10)
    assert distance_nats_upper(mean, mean.clone(), 0.5) == 0
    assert distance_nats_upper(torch.tensor([1e-38]), torch.tensor([2e-38]), 1e30) > 0


def test_a_choice_costs_its_logarithm():
    with mpmath.workdps(40):
        exact = 17 * mpmath.log(49)
        assert exact <= choice_nats_upper(49, 17) <= exact * (1 + mpmath.mpf(2) ** -51)
    assert choice_nats_upper(49, 0) == 0


@pytest.mark.parametrize("form", ["tensor", "entry", "factor"])
def test_the_ratio_of_densities_is_that_of_dense_gaussians_from_above(form):
    source = torch.Generator().manual_seed(3)
    prior_mean, mean = torch.randn(2, 3, 4, generator=source)
    lower = torch.randn(4, 4, generator=source).tril(-1) * 0.1 + 0.4 * torch.eye(4)
    deviation = {
        "tensor": 0.375,
        "entry": torch.rand(3, 4, generator=source) + 0.25,
        "factor": Factor(lower),
    }[form]
    noise, t = torch.randn(12, generator=source, dtype=torch.float64), 0.5
    drawn = draw_weights(mean, prior_mean, deviation, noise)
    found = log_density_ratio_upper(drawn.distances_upper, drawn.noise, deviation, t)
    rows = noise.reshape(3, 4)
    factor = lower.double() if form == "factor" else None
    spread = torch.eye(4).double() * 0.375
    exact = 0.0
    for row in range(3):
        root = factor
        if root is None:
            root = spread if form == "tensor" else torch.diag(deviation[row].double())
        weights = mean[row].double() + root @ rows[row]
        own = MultivariateNormal(mean[row].double(), scale_tril=root)
        prior = MultivariateNormal(prior_mean[row].double(), torch.eye(4).double() * t**2)
        exact += float(own.log_prob(weights) - prior.log_prob(weights))
    assert exact - 1e-9 <= found
    assert found == pytest.approx(exact, abs=1e-8)
