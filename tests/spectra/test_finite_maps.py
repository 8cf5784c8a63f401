"""Explicit matrices of convolutions, against torch's convolution of every unit vector."""

import math
from dataclasses import replace

import pytest
import torch

from dlgen_cli.spectra.finite_maps import (
    apply,
    block_shape,
    dense_blocks,
    dense_operator,
    finite_map_lower,
)
from dlgen_cli.spectra.geometry import ConvolutionGeometry, output_size

PLAIN = ConvolutionGeometry(
    stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, input_size=(5, 4)
)
#: The kernel's shape and the geometry of a module of torch.
CASES = {
    "plain": ((2, 3, 2, 2), PLAIN),
    "strided": ((2, 1, 3, 2), replace(PLAIN, stride=(2, 3), padding=(1, 2), groups=2)),
    "dilated": ((1, 2, 2, 3), replace(PLAIN, dilation=(3, 1), padding=(0, 1))),
    "reflect": ((1, 1, 3, 3), replace(PLAIN, padding=(2, 1), padding_mode="reflect")),
    "replicate": ((2, 1, 2, 2), replace(PLAIN, padding=(1, 2), padding_mode="replicate")),
    "circular": ((1, 2, 3, 2), replace(PLAIN, padding=(2, 0), padding_mode="circular")),
    "transposed": ((2, 2, 3, 2), replace(PLAIN, stride=(2, 1), padding=(1, 0), transposed=True)),
}


def kernel_of(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def module_of(kernel, geometry):
    """torch's own module; it pads for itself."""
    transposed = geometry.transposed
    kind = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
    channels = [kernel.shape[0], kernel.shape[1] * geometry.groups]
    module = kind(
        *(channels if transposed else channels[::-1]),
        kernel.shape[2:],
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
        padding_mode=geometry.padding_mode,
        bias=False,
    ).double()
    module.weight.data = kernel
    return module


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_matrix_is_the_module_on_every_unit_vector(name):
    shape, geometry = CASES[name]
    kernel = kernel_of(shape)
    module = module_of(kernel, geometry)
    size = (module.in_channels, *geometry.input_size)
    units = torch.eye(math.prod(size), dtype=torch.float64).reshape(-1, *size)
    expected = module(units)
    assert tuple(expected.shape[2:]) == output_size(kernel, geometry)
    operator = dense_operator(kernel, geometry)
    torch.testing.assert_close(operator, expected.flatten(1).T, rtol=1e-12, atol=1e-12)
    blocks = dense_blocks(kernel, geometry)
    assert tuple(blocks.shape) == block_shape(kernel, geometry)
    norms = torch.linalg.matrix_norm(blocks, 2)
    assert float(norms.max()) == pytest.approx(float(torch.linalg.matrix_norm(operator, 2)))


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_it_is_applied_as_the_module(name):
    shape, geometry = CASES[name]
    kernel = kernel_of(shape)
    module = module_of(kernel, geometry)
    x = kernel_of((module.in_channels, *geometry.input_size))
    torch.testing.assert_close(apply(kernel, geometry, x), module(x[None])[0])


@pytest.mark.parametrize("name", CASES)
def test_the_lower_end_is_one_and_close(name):
    shape, geometry = CASES[name]
    kernel = kernel_of(shape)
    kernel = kernel / kernel.abs().max()
    exact = float(torch.linalg.matrix_norm(dense_operator(kernel, geometry), 2))
    found = finite_map_lower(kernel, geometry)
    assert 0.99 * exact <= found <= exact * (1 + 1e-12)


def test_a_zero_kernel_reaches_nothing():
    assert finite_map_lower(torch.zeros(1, 1, 2, 2, dtype=torch.float64), PLAIN) == 0
