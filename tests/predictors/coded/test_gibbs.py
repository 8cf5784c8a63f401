"""Errors of draws, against the chance that an independent simulation finds."""

import pytest
import torch

from dlgen_cli.datasets import scaled
from dlgen_cli.errors import DataError
from dlgen_cli.predictors.coded.gaussian import GaussianCoordinates
from dlgen_cli.predictors.coded.gibbs import coded_gibbs_errors, coded_risk_upper
from dlgen_cli.predictors.coded.network import Description, build_network

SOURCE = torch.Generator().manual_seed(11)
IMAGES = torch.rand(30, 3, 8, 8, generator=SOURCE)
SMALL = IMAGES[:, :, :2, :2].contiguous()
LABELS = torch.randint(0, 3, (30,), generator=SOURCE)
MLP = Description(
    architecture="mlp", width=12, depth=2, classes=3, input_shape=(3, 2, 2), seed=5, dim=40
)
BANK = Description(
    architecture="filter_bank", width=2, depth=None, classes=3, input_shape=(3, 8, 8), seed=5, dim=1
)


def chance(network, posterior, sample, draws=400):
    """Mean error on the whole sample over draws of all coordinates."""
    start = network.projection.groups[-1].start
    images, errors = scaled(sample, 1.0), 0
    source = torch.Generator().manual_seed(12)
    for _ in range(draws):
        noise = torch.randn(network.projection.dim, generator=source)
        logits = network.logits(posterior.coordinates(noise, start), images)
        errors += int((logits.argmax(1) != LABELS).sum())
    return errors / draws / len(LABELS)


def a_posterior(dim, inputs=None):
    factor = None
    if inputs is not None:
        factor = (torch.randn(inputs, inputs, generator=SOURCE) * 0.05).tril(-1)
        factor += torch.diag(torch.full((inputs,), 0.5))
    mean = torch.randn(dim, generator=SOURCE)
    return GaussianCoordinates(mean=mean, spread=torch.full((dim,), 0.7), factor=factor, exponent=0)


@torch.no_grad()
def test_errors_of_a_network_are_those_of_whole_draws():
    network, told = build_network(MLP), []
    posterior = a_posterior(40)
    found = coded_gibbs_errors(
        network, posterior, SMALL, LABELS,
        draws=4000, seed=1, scale=1.0, progress=lambda *one: told.append(one),
    )  # fmt: skip
    assert found / 4000 == pytest.approx(chance(network, posterior, SMALL), abs=0.04)
    assert told[-1] == (4000, 4000)


@torch.no_grad()
def test_the_integral_is_the_chance_that_draws_of_the_head_find():
    inputs = build_network(BANK).features(IMAGES[:1]).shape[1]
    network = build_network(
        Description(**{**{name: getattr(BANK, name) for name in BANK.__slots__}, "dim": 3 * inputs})
    )
    assert network.has_fixed_features
    posterior = a_posterior(3 * inputs, inputs)
    found = coded_risk_upper(network, posterior, IMAGES, LABELS, scale=1.0)
    assert found == pytest.approx(chance(network, posterior, IMAGES, 2000), abs=0.01)
    mlp = build_network(MLP)
    assert coded_risk_upper(mlp, a_posterior(40), SMALL, LABELS, scale=1.0) is None


def test_the_seed_gives_the_count():
    network, posterior = build_network(MLP), a_posterior(40)
    counts = [
        coded_gibbs_errors(network, posterior, SMALL, LABELS, draws=300, seed=seed, scale=1.0)
        for seed in (1, 1, 2)
    ]
    assert counts[0] == counts[1]


def test_data_that_do_not_fit_are_refused():
    network, posterior = build_network(MLP), a_posterior(40)
    with pytest.raises(DataError):
        coded_gibbs_errors(network, posterior, SMALL, LABELS[:5], draws=5, seed=1, scale=1.0)
