"""Trained coordinates go into a state dict that folds back to them."""

import torch

from dlgen_cli.architectures import build
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import coordinates
from dlgen_cli.predictors.unfolding import unfolded


def test_trained_coordinates_fold_back_and_the_others_stay_bit_for_bit():
    module = build("mobilenet_v2", num_classes=3, width_mult=0.25, stem="small").eval()
    source = torch.Generator().manual_seed(0)
    anchor = {
        name: torch.rand(one.shape, generator=source) + 0.1 if one.is_floating_point() else one
        for name, one in module.state_dict().items()
    }
    network = trace(module, (3, 32, 32))
    before = coordinates(network, anchor)
    trained = ("features.17.conv.0.0.weight", "features.5.conv.2.bias", "features.3.conv.1.0.bias")
    trained = {*trained, "features.3.conv.1.0.weight", "classifier.1.weight", "classifier.1.bias"}
    means = {name: before[name] * 1.5 + 0.25 for name in trained & before.keys()}
    assert len(means) >= 5
    state = unfolded(network, anchor, means)
    assert {name: one.shape for name, one in state.items()} == {
        name: one.shape for name, one in anchor.items()
    }
    after = coordinates(network, state)
    for name, one in after.items():
        if name in means:
            assert torch.allclose(one, means[name], rtol=3e-7, atol=1e-7), name
        else:
            assert torch.equal(one, before[name]), name
