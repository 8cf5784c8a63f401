"""A network as a function of its coordinates."""

from dataclasses import replace

import pytest
import torch

from dlgen_cli import architectures
from dlgen_cli.errors import CheckpointError
from dlgen_cli.predictors.coded.network import (
    Description,
    build_network,
    describe_run,
    family_choices,
    parameters_of,
)

ABOUT = Description(
    architecture="mlp", width=8, depth=2, classes=3, input_shape=(1, 2, 2), seed=5, dim=20
)


def test_the_logits_at_coordinates_are_those_of_the_module_with_their_parameters():
    network = build_network(ABOUT)
    z = torch.randn(20, generator=torch.Generator().manual_seed(0))
    images = torch.rand(4, 1, 2, 2)
    found = network.logits(z, images)
    module = architectures.build("mlp", inputs=4, width=8, depth=2, classes=3).eval()
    module.load_state_dict(dict(network.projection.parameters(z)), strict=False)
    torch.testing.assert_close(found, module(images))
    torch.testing.assert_close(network.at(z)(images), found)


def test_logits_follow_the_coordinates():
    z = torch.zeros(20, requires_grad=True)
    build_network(ABOUT).logits(z, torch.rand(2, 1, 2, 2)).sum().backward()
    assert z.grad is not None
    assert z.grad.any()


def test_the_same_description_is_the_same_network_and_another_seed_is_not():
    z, images = torch.ones(20), torch.rand(1, 1, 2, 2)
    logits = [build_network(one).logits(z, images) for one in (ABOUT, ABOUT)]
    assert torch.equal(*logits)
    other = build_network(replace(ABOUT, seed=6)).logits(z, images)
    assert not torch.equal(logits[0], other)


def test_parameters_are_counted_as_they_are_built():
    module = architectures.build("mlp", inputs=4, width=8, depth=2, classes=3)
    assert parameters_of(ABOUT) == sum(one.numel() for one in module.parameters())
    assert family_choices("mlp") == 1
    assert family_choices("filter_bank") == 2**16


def test_a_run_is_described_by_its_config():
    config = {
        "architecture": "mlp",
        "coded": {"width": 8, "depth": 2, "seed": 5, "dim": 20},
        "counts": {"classes": 3},
        "input": {"shape": [1, 2, 2]},
    }
    assert describe_run(config) == ABOUT
    with pytest.raises(KeyError):
        describe_run({"architecture": "mlp"})


def test_only_a_head_on_fixed_features_has_features():
    assert not build_network(ABOUT).has_fixed_features
    assert build_network(ABOUT).landmark_shape is None
    kernel = replace(
        ABOUT, architecture="filter_kernel", width=2, depth=None, input_shape=(3, 8, 8), dim=12
    )
    network = build_network(kernel)
    assert network.has_fixed_features
    assert network.landmark_shape == (4, 3, 8, 8)
    landmarks = torch.rand(4, 3, 8, 8)
    network.set_landmarks(landmarks)
    features = network.features(landmarks)
    assert features.shape == (4, 4)
    # an example among the landmarks has no variance beside its features'
    torch.testing.assert_close(network.rest(features), torch.zeros(4), rtol=0, atol=1e-3)


@pytest.mark.parametrize("changed", [{"dim": 13}, {"input_shape": (3, 8, 4)}])
def test_a_kernel_machine_that_cannot_be_is_refused(changed):
    kernel = replace(
        ABOUT, architecture="filter_kernel", width=2, depth=None, input_shape=(3, 8, 8), dim=12
    )
    with pytest.raises(CheckpointError, match="square images"):
        build_network(replace(kernel, **changed))
