"""The bank of fixed filters, the kernel machine on it, and the small network of convolutions."""

import math

import pytest
import torch

from dlgen_cli import architectures
from dlgen_cli.errors import UsageError


def images(count: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 16, 16, generator=source) / math.sqrt(3 * 16 * 16)


def bank(**changes: int) -> torch.nn.Module:
    return architectures.build("filter_bank", width=6, pixels=16, **changes)


def test_an_image_and_its_mirror_image_have_the_same_features():
    x = images(5)
    assert torch.allclose(bank().features(x), bank().features(x.flip(-1)), atol=1e-5)
    assert not torch.allclose(bank().features(x), bank().features(x.flip(-2)), atol=1e-2)


def test_features_have_unit_length_and_see_no_batch():
    x = images(5)
    found = bank().features(x)
    assert torch.allclose(found.norm(dim=1), torch.ones(5), atol=1e-5)
    assert torch.allclose(found[2:3], bank().features(x[2:3]), atol=1e-6)


def test_brightness_does_not_move_the_features():
    x = images(3) / 2
    assert torch.allclose(bank().features(x), bank().features(x + 0.005), atol=1e-3)


def test_an_image_without_contrast_has_finite_features():
    assert bank().features(torch.zeros(1, 3, 16, 16)).isfinite().all()


def test_the_head_is_the_only_parameter():
    module = bank(num_classes=7)
    assert [name for name, _ in module.named_parameters()] == ["head.weight"]
    assert list(module.state_dict()) == ["head.weight"]
    assert module(images(2)).shape == (2, 7)


def test_the_filters_are_whitened_for_the_model():
    filters = bank().bank.get_buffer("filters4")
    assert filters.shape == (12, 3, 4, 4)
    assert filters.sum(dim=(1, 2, 3)).abs().max() < 0.02
    assert torch.equal(filters[6:], filters[:6].flip(-1))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("small_convnet", {"width": 12}),
        ("small_convnet", {"num_classes": 0}),
        ("filter_bank", {"width": 0}),
        ("filter_bank", {"pixels": 3}),
        ("filter_kernel", {"landmarks": 0}),
        ("filter_kernel", {}),
    ],
)
def test_impossible_sizes_are_refused_in_one_line(name, arguments):
    with pytest.raises(UsageError, match=name):
        architectures.build(name, **arguments)
