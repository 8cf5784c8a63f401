"""Small matrices are enclosed together as each is by itself, and handed out once."""

import numpy as np
import pytest
import torch

from dlgen_cli.evidence.small_matrices import SmallMatrices
from dlgen_cli.networks import GraphLayer


def a_layer(name, shape):
    return GraphLayer(
        name=name,
        module=name,
        kind="linear",
        weight_shape=shape,
        has_own_bias=False,
        input_shape=(shape[1],),
        output_shape=(shape[0],),
    )


@pytest.fixture
def tensors():
    source = torch.Generator().manual_seed(0)
    return {f"w{n}": torch.randn(6, 4, generator=source) for n in range(9)}


def test_each_is_enclosed_and_taken_once(tensors):
    layers = [a_layer(name, (6, 4)) for name in tensors]
    small = SmallMatrices(layers, tensors)
    for layer in reversed(layers):
        found = small.take(layer)
        assert found is not None
        effective, enclosed = found
        assert torch.equal(effective.weight, tensors[layer.name])
        exact = np.linalg.svd(tensors[layer.name].double().numpy(), compute_uv=False)
        ends = enclosed.singular_values
        for one, value in zip(ends, exact, strict=True):
            assert one.lower <= value * (1 + 1e-14)
            assert value * (1 - 1e-14) <= one.upper
        assert small.take(layer) is None


def test_few_of_a_shape_and_large_ones_are_measured_alone(tensors):
    layers = [a_layer(name, (6, 4)) for name in list(tensors)[:3]]
    small = SmallMatrices(layers, tensors)
    assert all(small.take(layer) is None for layer in layers)
    large = [a_layer(f"w{n}", (3000, 3000)) for n in range(9)]
    assert SmallMatrices(large, {}).take(large[0]) is None


def test_one_that_cannot_be_read_leaves_the_others(tensors):
    layers = [a_layer(name, (6, 4)) for name in tensors]
    del tensors["w3"]
    small = SmallMatrices(layers, tensors)
    taken = {layer.name for layer in layers if small.take(layer) is not None}
    assert taken == set(tensors)
