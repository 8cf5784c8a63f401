"""What is minimised in the place of a bound, against other ways to compute it."""

from decimal import Decimal

import pytest
import torch

from dlgen_cli.bounds.concentration import kl_inverse_upper
from dlgen_cli.training.surrogates import (
    VotingError,
    bounded_cross_entropy,
    kl_bound,
    quadratic_bound,
    softmax_error,
)


@pytest.mark.parametrize("risk", [0.02, 0.3, 0.6])
@pytest.mark.parametrize("nats", [5.0, 300.0, 4000.0])
def test_the_bound_that_is_minimised_is_the_certificates_own(risk, nats):
    found = float(kl_bound(torch.tensor(risk), torch.tensor(nats), 50_000))
    exact = float(kl_inverse_upper(Decimal(risk), Decimal(nats) / 50_000))
    assert found == pytest.approx(exact, abs=1e-6)
    assert float(quadratic_bound(torch.tensor(risk), torch.tensor(nats), 50_000)) >= exact - 1e-6


def test_its_derivatives_are_those_of_differences():
    risk = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    nats = torch.tensor(2000.0, dtype=torch.float64, requires_grad=True)
    kl_bound(risk, nats, 50_000).backward()

    def value(q: float, c: float) -> float:
        return float(kl_inverse_upper(Decimal(q), Decimal(c) / 50_000))

    by_risk = (value(0.3001, 2000) - value(0.2999, 2000)) / 2e-4
    by_nats = (value(0.3, 2001) - value(0.3, 1999)) / 2
    assert float(risk.grad) == pytest.approx(by_risk, rel=1e-4)
    assert float(nats.grad) == pytest.approx(by_nats, rel=1e-4)


@pytest.mark.parametrize("outputs", [1, 5])
def test_the_chance_of_an_error_is_that_of_draws(outputs):
    source = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 5, generator=source)
    deviations = torch.rand(6, outputs, generator=source) + 0.3
    labels = torch.randint(5, (6,), generator=source)
    noise = torch.randn(40_000, 6, 5, generator=source)
    wrong = (logits + deviations * noise).argmax(2) != labels
    found = VotingError()(logits, deviations, labels)
    assert torch.allclose(found, wrong.float().mean(0), atol=0.01)


def test_the_surrogates_are_1_or_chance_for_a_network_that_knows_nothing():
    logits, labels = torch.zeros(4, 10), torch.arange(4)
    assert float(bounded_cross_entropy(logits, labels)) == pytest.approx(1, rel=1e-6)
    assert float(softmax_error(logits, labels)) == pytest.approx(0.9, rel=1e-6)
