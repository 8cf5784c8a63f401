"""Networks whose tensors functions read, evaluated at their parameters and under noise."""

import pytest
import torch
from token_networks import TOKEN_NETWORKS

from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors.folded_network import fold_network
from dlgen_cli.predictors.sampling import Noise, WeightSampler


def folded(name):
    constructor, shape = TOKEN_NETWORKS[name]
    torch.manual_seed(0)
    module = constructor().eval().requires_grad_(requires_grad=False)
    for tensor in module.parameters():
        tensor.add_(0.1 * torch.randn_like(tensor))
    return module, fold_network(module, trace(module, shape), module.state_dict())


@pytest.mark.parametrize("name", TOKEN_NETWORKS)
def test_it_computes_what_the_module_computes(name):
    module, network = folded(name)
    x = torch.randn(4, *TOKEN_NETWORKS[name][1])
    torch.testing.assert_close(network(x), module(x.clone()), rtol=1e-4, atol=1e-5)


def test_every_tensor_is_drawn_for_every_example():
    _, network = folded("transformer")
    x = torch.randn(1, *TOKEN_NETWORKS["transformer"][1]).expand(400, -1, -1, -1)
    noise = Noise(generator=torch.Generator().manual_seed(0), keeps_all=False)
    sampler = WeightSampler(deviations=dict.fromkeys(network.parameters, 0.1), noise=noise)
    found = network.split(list(network.parameters)).logits(network.parameters, (x,), sampler)
    drawn = []
    for _ in range(400):
        moved = {
            name: one + 0.1 * torch.randn_like(one) for name, one in network.parameters.items()
        }
        drawn.append(network.logits(moved, x[:1]))
    expected = torch.cat(drawn)
    assert len(found.unique(dim=0)) == 400
    torch.testing.assert_close(found.std(0), expected.std(0), rtol=0.2, atol=0.0)
    torch.testing.assert_close(found.mean(0), expected.mean(0), rtol=0.0, atol=0.1)
