"""Explicit matrices of convolutions, against torch's convolution of every unit vector."""

import math
from dataclasses import replace

import pytest
import torch
from convolutions import norm_of, plain, unit_vector_operator

from dlgen_cli.spectra.convolution import _wave, convolution_norm
from dlgen_cli.spectra.finite_maps import (
    apply,
    block_shape,
    dense_blocks,
    dense_operator,
    finite_map_lower,
)
from dlgen_cli.spectra.geometry import ConvolutionGeometry, output_size, transfer_taps
from dlgen_cli.spectra.periodic import grid_frequencies
from dlgen_cli.spectra.transfer import TransferFamily, estimated_squares, leading_vector

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


def test_output_padding_of_transposed_convolutions():
    kernel = torch.randn(3, 2, 3, 2, generator=torch.Generator().manual_seed(2))
    geometry = plain(
        2,
        stride=(2, 3),
        padding=(1, 0),
        transposed=True,
        output_padding=(1, 2),
        input_size=(3, 4),
    )
    expected = unit_vector_operator(kernel, geometry)
    torch.testing.assert_close(dense_operator(kernel, geometry), expected)
    lattice = convolution_norm(kernel, replace(geometry, input_size=None))
    assert norm_of(expected) <= lattice.upper


@pytest.mark.parametrize("transposed", [False, True])
def test_a_wide_dilation_reaches_beyond_the_corner(transposed, monkeypatch):
    """The lower bound looks at a corner of a large map, which must still hold the kernel."""
    monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    kernel = torch.randn(2, 2, 7, generator=torch.Generator().manual_seed(9))
    geometry = plain(1, padding=(0,), dilation=(12,), transposed=transposed, input_size=(100,))
    bracket = convolution_norm(kernel, geometry)
    exact = norm_of(unit_vector_operator(kernel, geometry))
    assert 0 < bracket.lower <= exact * (1 + 1e-12)
    assert exact * (1 - 1e-12) <= bracket.upper


def test_lower_end_on_a_map_too_large_for_its_matrix():
    kernel = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(6))
    for transposed in (False, True):
        geometry = plain(
            2, padding=(1, 1), groups=2, transposed=transposed, stride=(2, 1), input_size=(40, 30)
        )
        bracket = convolution_norm(kernel, geometry)
        assert bracket.upper <= convolution_norm(kernel, replace(geometry, input_size=None)).upper
        assert 0.97 * bracket.upper <= bracket.lower <= bracket.upper


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(3, 2, 4), (2, 5, 3), (4, 4, 3)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 4), (3, 2)])
def test_the_wave_of_the_largest_frequency_is_nearly_the_norm(shape, stride, dilation, transposed):
    """On a long map: the first vector of the search, before any step is taken."""
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(16)).double()
    kernel /= kernel.abs().max()
    geometry = plain(
        1, stride=(stride,), dilation=(dilation,), transposed=transposed, input_size=(90,)
    )
    family = TransferFamily(transfer_taps(kernel, (stride,), (dilation,), 1))
    at = grid_frequencies((64,), (1,), 1)
    best = at.select(estimated_squares(family, at).argmax().reshape(1))
    vector = leading_vector(family, best)
    wave = _wave(geometry, kernel.shape, family, best, vector)
    operator = dense_operator(kernel, geometry)
    size = geometry.input_size if transposed else output_size(kernel, geometry)
    side = operator if transposed else operator.T
    start = wave.on_map(size).flatten().double()
    reached = float((side @ start).norm() / start.norm())
    assert 0.97 * norm_of(operator) <= reached <= norm_of(operator) * (1 + 1e-12)
