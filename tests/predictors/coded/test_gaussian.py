"""What a Gaussian over coordinates costs, against mpmath and dense matrices; files that lie."""

import mpmath
import pytest
import safetensors.torch
import torch

from dlgen_cli.errors import CheckpointError
from dlgen_cli.predictors.coded.code_file import step_of
from dlgen_cli.predictors.coded.gaussian import (
    GaussianCoordinates,
    gaussian_tensors,
    head_inputs,
    read_gaussian,
)
from dlgen_cli.predictors.coded.network import Description, build_network


def posterior(spread: torch.Tensor, factor: torch.Tensor | None = None) -> GaussianCoordinates:
    source = torch.Generator().manual_seed(0)
    mean = torch.randn(len(spread), generator=source)
    return GaussianCoordinates(mean=mean, spread=spread, factor=factor, exponent=-3)


def exact_nats(spread: torch.Tensor) -> mpmath.mpf:
    values = [mpmath.mpf(value) for value in spread.double().tolist()]
    return mpmath.fsum(s * s - 1 - 2 * mpmath.log(s) for s in values) / 2


@pytest.mark.parametrize("around", [1.0, 1 + 2**-20, 1e-3, 40.0])
def test_the_nats_of_deviations_are_an_upper_bound_and_tight(around):
    noise = torch.rand(300, generator=torch.Generator().manual_seed(1))
    spread = around * (1 + noise * 2**-20)
    found, exact = posterior(spread).spread_nats(300), exact_nats(spread)
    assert found >= exact
    assert found <= exact * (1 + mpmath.mpf(2) ** -51) + mpmath.mpf(10) ** -30


def test_the_prior_itself_costs_nothing():
    found = posterior(torch.ones(50)).spread_nats(50)
    assert 0 <= found < 1e-30


def test_the_nats_of_a_factor_are_those_of_the_dense_gaussian():
    source = torch.Generator().manual_seed(2)
    factor = (torch.randn(6, 6, generator=source) * 0.3).tril(-1) + torch.rand(6).add(0.2).diag()
    spread = torch.rand(4 + 3 * 6, generator=source) + 0.5
    one = posterior(spread, factor)
    dense = torch.block_diag(spread[:4].double().diag(), *[factor.double()] * 3)
    q = torch.distributions.MultivariateNormal(one.mean.double(), scale_tril=dense)
    p = torch.distributions.MultivariateNormal(torch.zeros(22).double(), torch.eye(22).double())
    expected = float(torch.distributions.kl_divergence(q, p))
    found = one.distance_nats() + one.spread_nats(4)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found >= expected * (1 - 1e-14)


def test_a_kernel_machine_needs_its_factor():
    """Without one the rest of the process would be left out of every draw."""
    about = Description(
        architecture="filter_kernel",
        width=4,
        depth=None,
        classes=3,
        input_shape=(1, 8, 8),
        seed=0,
        dim=15,
    )
    network = build_network(about)
    whole = {
        "mean": torch.zeros(15),
        "spread": torch.ones(15),
        "exponent": torch.tensor([0]),
        "landmarks": torch.rand(network.landmark_shape),
        "factor": torch.eye(5),
    }
    assert read_gaussian(safetensors.torch.save(whole), network, "here").factor is not None
    del whole["factor"]
    with pytest.raises(CheckpointError, match="factor"):
        read_gaussian(safetensors.torch.save(whole), network, "here")


def test_draws_have_the_covariance_of_the_factor():
    factor = torch.tensor([[0.5, 0.0], [0.3, 0.2]])
    one = GaussianCoordinates(
        mean=torch.zeros(5), spread=torch.full((5,), 2.0), factor=factor, exponent=2
    )
    source = torch.Generator().manual_seed(3)
    draws = torch.stack(
        [one.coordinates(torch.randn(5, generator=source), 1) for _ in range(20000)]
    )
    expected = torch.block_diag(torch.tensor([[4.0]]), factor @ factor.T, factor @ factor.T)
    assert torch.allclose(draws.T.cov(), 4 * expected, atol=0.3)
    assert torch.allclose(draws.T.cov()[1:, 1:], 4 * expected[1:, 1:], atol=0.05)


@pytest.mark.parametrize("exponent", [-9, -1, 0, 3, 8])
def test_the_step_is_the_power_of_two(exponent):
    assert step_of(exponent) == pytest.approx(2 ** (exponent / 4), rel=1e-7)


def network():
    about = Description(
        architecture="filter_bank", width=1, depth=None, classes=3, input_shape=(1, 8, 8),
        seed=0, dim=126,
    )  # fmt: skip
    return build_network(about)


def tensors(**changes: torch.Tensor) -> bytes:
    inputs = head_inputs(network())
    good = GaussianCoordinates(
        mean=torch.zeros(126), spread=torch.ones(126), factor=torch.eye(inputs), exponent=0
    )
    return safetensors.torch.save({**gaussian_tensors(good), **changes})


def test_a_posterior_reads_back():
    found = read_gaussian(tensors(), network(), "here")
    assert found.factor is not None
    assert found.scale == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mean": torch.zeros(125)}, "instead of"),
        ({"mean": torch.full((126,), torch.nan)}, "finite"),
        ({"mean": torch.zeros(126).double()}, "float32"),
        ({"spread": torch.zeros(126)}, "positive"),
        ({"factor": torch.ones(42, 42)}, "triangular"),
        ({"factor": -torch.eye(42)}, "positive"),
        ({"exponent": torch.tensor([9])}, "exponent"),
        ({"other": torch.ones(1)}, "instead of"),
    ],
)
def test_another_posterior_is_refused_in_one_line(changes, reason):
    with pytest.raises(CheckpointError, match=reason) as error:
        read_gaussian(tensors(**changes), network(), "here")
    assert "\n" not in str(error.value)


def test_bytes_of_something_else_are_refused():
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_gaussian(b"nothing", network(), "here")
