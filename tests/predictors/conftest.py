"""Networks with random weights and statistics, and samples for them."""

from types import SimpleNamespace

import pytest
import torch

from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import fold_network


def fill(module, seed=0):
    """Random weights of moderate size, and random statistics of batch normalization."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            drawn = torch.randn(tensor.shape, generator=source)
            if name.endswith("running_var"):
                tensor.copy_(drawn.abs() + 0.5)
            elif tensor.ndim > 1:
                tensor.copy_(drawn * (2 / tensor[0].numel()) ** 0.5)
            else:
                tensor.copy_(1 + 0.2 * drawn if name.endswith("weight") else 0.2 * drawn)
    return module.eval().requires_grad_(requires_grad=False)


def folded(module, shape):
    return fold_network(module, trace(module, shape), module.state_dict())


def sample(count, shape, classes, seed=3):
    source = torch.Generator().manual_seed(seed)
    images = torch.rand(count, *shape, generator=source)
    return images, torch.randint(classes, (count,), generator=source)


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(fill=fill, folded=folded, sample=sample)
