"""Gaussian tensors: their divergence, their noise, and what a bound may choose of their prior."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from dlgen_cli.checkpoints.runs.posterior_file import PRIOR_EXPONENTS, prior_deviation
from dlgen_cli.networks import GraphLayer
from dlgen_cli.training.posterior.gaussian_layer import GaussianLayer, GaussianTensor

FORMS = ("tensor", "entry", "factor")
ROWS, WIDTH = 3, 4


def gaussian(form):
    source = torch.Generator().manual_seed(7)
    mean = torch.randn(ROWS, WIDTH, generator=source)
    found = GaussianTensor("w", mean, base=0.7, form=form)
    with torch.no_grad():
        found.shift.normal_(generator=source)
        found.log_deviation.fill_(math.log(0.3))
        if found.log_spread is not None:
            found.log_spread.normal_(generator=source).mul_(0.5)
        if form == "factor":
            moment = torch.randn(WIDTH, WIDTH, generator=source).double()
            found.basis = torch.linalg.eigh(moment @ moment.mT).eigenvectors.float()
    return found


def row_covariance(one):
    """Of a row's noise, dense."""
    deviations = one.deviations().detach().double()
    if one.form == "factor":
        basis = one.basis.double()
        return basis @ torch.diag(deviations.square()) @ basis.mT
    return torch.eye(WIDTH).double() * deviations.square()


def divergence(one):
    """By torch.distributions, dense."""
    t = float(one.log_deviation.detach().exp())
    mean, start = one.mean().detach().double(), one.prior_mean.double()
    if one.form != "factor":
        deviations = one.deviations().detach().double().expand(ROWS, WIDTH)
        return float(kl_divergence(Normal(mean, deviations), Normal(start, t)).sum())
    covariance = row_covariance(one)
    prior = torch.eye(WIDTH).double() * t**2
    return sum(
        float(
            kl_divergence(
                MultivariateNormal(mean[row], covariance), MultivariateNormal(start[row], prior)
            )
        )
        for row in range(ROWS)
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_divergence_is_that_of_dense_gaussians(form):
    one = gaussian(form)
    assert float(one.nats().detach()) == pytest.approx(divergence(one), rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_variances_of_outputs_are_those_of_drawn_weights(form):
    one = gaussian(form)
    x = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
    if form == "entry":
        expected = x.square() @ one.deviations().detach().square().mT
    else:
        expected = torch.einsum("ni,ij,nj->n", x, row_covariance(one).float(), x)[:, None]
    assert one.variances(x).detach() == pytest.approx(expected.detach(), rel=1e-4)
    source = torch.Generator().manual_seed(2)
    drawn = torch.stack([(x @ one.sample(source).mT).detach() for _ in range(20_000)])
    assert drawn.var(dim=0) == pytest.approx(expected.expand(5, ROWS).detach(), rel=0.06)
    mean = x @ one.mean().detach().mT
    assert drawn.mean(dim=0) == pytest.approx(mean, abs=0.05)


@pytest.mark.parametrize("form", FORMS)
def test_fixing_the_prior_keeps_mean_and_noise_and_takes_a_deviation_of_the_grid(form):
    one = gaussian(form)
    mean, deviations = one.mean().detach(), one.deviations().detach()
    one.fix_prior()
    assert one.exponent in PRIOR_EXPONENTS
    assert float(one.log_deviation.detach().exp()) == pytest.approx(
        prior_deviation(0.7, one.exponent)
    )
    assert one.mean().detach() == pytest.approx(mean, rel=1e-5, abs=1e-6)
    within = 1e-5 if form != "tensor" else 2**0.25 - 1
    torch.testing.assert_close(one.deviations().detach(), deviations, rtol=within, atol=0.0)
    assert not one.log_deviation.requires_grad


def test_a_stored_factor_is_a_lower_triangular_root_of_the_covariance():
    one = gaussian("factor")
    stored = one.stored_spread().double()
    t = float(one.log_deviation.detach().exp())
    assert not stored.triu(1).any()
    assert (stored.diagonal() > 0).all()
    assert t**2 * stored @ stored.mT == pytest.approx(row_covariance(one), rel=1e-5, abs=1e-7)


def test_calls_within_a_step_share_one_draw_of_a_kernel():
    layer = GraphLayer(
        name="c.weight",
        module="c",
        kind="conv2d",
        weight_shape=(2, 1, 3, 3),
        has_own_bias=False,
        input_shape=(1, 5, 5),
        output_shape=(2, 3, 3),
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
    )
    weight = GaussianTensor("c.weight", torch.randn(2, 1, 3, 3), base=1.0, form="tensor")
    one = GaussianLayer(layer, weight, None, torch.Generator().manual_seed(0))
    x = torch.randn(4, 1, 5, 5)
    one.begin(noisy=True)
    first = one(x)
    assert torch.equal(first, one(x))
    one.begin(noisy=True)
    assert not torch.equal(first, one(x))
    one.begin(noisy=False)
    assert torch.equal(one(x), torch.nn.functional.conv2d(x, weight.mean()))
