"""A resized MobileNetV2 that sees mirrored images and has maps from inner blocks to the logits."""

import pytest
import torch

from dlgen_cli.architectures import build
from dlgen_cli.errors import UsageError
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import fold_network

SIZE, CLASSES = 32, 4


def network(**arguments: object):
    """Random weights; those that every variant has are the same."""
    module = build(
        "mobilenet_v2", num_classes=CLASSES, width_mult=0.25, image_size=SIZE, **arguments
    ).eval()
    source = torch.Generator().manual_seed(3)
    names = sorted(module.state_dict(), key=lambda name: (name.startswith("taps"), name))
    for name in names:
        tensor = module.state_dict()[name]
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=source) * 0.3)
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
    return module


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_mirrored_features_do_not_tell_an_image_from_its_mirror(images):
    module = network(mirrored=True)
    assert torch.allclose(module(images), module(images.flip(3)), rtol=1e-4, atol=1e-5)
    plain = network()
    both = (plain(images) + plain(images.flip(3))) / 2  # the head is affine
    assert torch.allclose(module(images), both, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_taps_add_a_linear_map_of_pooled_features(images):
    plain, tapped = network(), network(taps=[5, 13])
    seen = {}
    for number in (5, 13):
        tapped.features[number].register_forward_hook(
            lambda _module, _inputs, output, number=number: seen.update({number: output})
        )
    logits = tapped(images)
    added = sum(tapped.taps[str(number)](value.mean(dim=(2, 3))) for number, value in seen.items())
    assert torch.allclose(logits, plain(images) + added, rtol=1e-4, atol=1e-5)


def test_the_folded_network_agrees(images):
    module = network(mirrored=True, taps=[5, 13])
    traced = trace(module, tuple(images.shape[1:]))
    assert traced.unsupported is None
    folded = fold_network(module, traced, module.state_dict())
    with torch.no_grad():
        assert torch.allclose(folded(images), module(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"image_size": 32, "taps": [13, 5]},
        {"image_size": 32, "taps": [18]},
        {"image_size": None, "taps": [5]},
        {"image_size": None, "mirrored": True},
    ],
)
def test_views_that_do_not_fit_are_refused(arguments: dict[str, object]):
    with pytest.raises(UsageError, match=r"The mobilenet_v2 has taps"):
        build("mobilenet_v2", num_classes=CLASSES, **arguments)
