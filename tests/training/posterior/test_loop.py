"""Steps of equal length for every tensor, written out in full."""

import pytest
import torch
from torch import nn

from dlgen_cli.training.posterior.loop import TensorMomentum


def test_steps_are_those_of_a_momentum_in_float64():
    source = torch.Generator().manual_seed(0)
    tensors = [nn.Parameter(torch.randn(3, 2, generator=source)), nn.Parameter(torch.ones(4))]
    momentum = TensorMomentum(tensors)
    expected = [one.detach().double().clone() for one in tensors]
    means = [torch.zeros_like(one) for one in expected]
    squares = [0.0, 0.0]
    for step in range(1, 6):
        for n, one in enumerate(tensors):
            gradient = torch.randn(one.shape, generator=source)
            one.grad = gradient.clone()
            means[n] = 0.9 * means[n] + 0.1 * gradient.double()
            squares[n] = 0.99 * squares[n] + 0.01 * float(gradient.double().square().mean())
            scale = (squares[n] / (1 - 0.99**step)) ** 0.5
            expected[n] = expected[n] - 0.05 * means[n] / scale
        momentum.step(0.05)
        for one, exact in zip(tensors, expected, strict=True):
            assert one.grad is None
            torch.testing.assert_close(one.detach().double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_steady_gradient_moves_a_tensor_by_the_step_whatever_its_scale(scale):
    tensor = nn.Parameter(torch.zeros(10))
    momentum = TensorMomentum([tensor])
    for _ in range(200):
        before = tensor.detach().clone()
        tensor.grad = torch.full((10,), scale)
        momentum.step(0.1)
    torch.testing.assert_close(before - tensor.detach(), torch.full((10,), 0.1), rtol=1e-3, atol=0)


def test_a_tensor_without_a_gradient_stays():
    tensor = nn.Parameter(torch.ones(2))
    TensorMomentum([tensor]).step(0.1)
    assert torch.equal(tensor.detach(), torch.ones(2))
