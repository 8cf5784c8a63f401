"""The small network of convolutions."""

import torch

from dlgen_cli import architectures


def test_the_small_convnet_sees_no_batch_and_is_zero_at_first():
    module = architectures.build("small_convnet", width=8, num_classes=4)
    assert all(not bool(one.any()) for one in module.parameters())
    source = torch.Generator().manual_seed(0)
    for one in module.parameters():
        torch.nn.init.normal_(one, std=0.2, generator=source)
    x = torch.rand(6, 3, 16, 16, generator=source)
    assert torch.allclose(module(x)[1:2], module(x[1:2]), atol=1e-4)
    assert module(x).shape == (6, 4)
