"""The normalization of images by constants."""

import pytest
import torch

from dlgen_cli.architectures.fixed_normalization import FixedNormalization

MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_channel_is_shifted_and_scaled(dtype: torch.dtype):
    images = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = FixedNormalization(MEANS, DEVIATIONS)(images)
    assert found.dtype == dtype
    for channel, (mean, deviation) in enumerate(zip(MEANS, DEVIATIONS, strict=True)):
        exact = (images[:, channel].double() - mean) / deviation
        torch.testing.assert_close(found[:, channel].double(), exact, rtol=0, atol=1e-6)


def test_the_constants_are_neither_parameters_nor_buffers():
    module = FixedNormalization(MEANS, DEVIATIONS)
    assert list(module.state_dict()) == []
    assert list(module.parameters()) == []


def test_constants_are_known_where_modules_are_built_without_memory():
    with torch.device("meta"):
        module = FixedNormalization(MEANS, DEVIATIONS)
    assert module.factors == FixedNormalization(MEANS, DEVIATIONS).factors
