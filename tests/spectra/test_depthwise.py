"""Convolutions that act on each channel alone, against explicit matrices and fine grids."""

import random
from dataclasses import replace

import pytest
import torch
from convolutions import norm_of, on_a_map, plain, random_case, unit_vector_operator

from dlgen_cli.spectra.convolution import convolution_norm
from dlgen_cli.spectra.depthwise import channel_norms
from dlgen_cli.spectra.finite_maps import dense_blocks


def kernel_of(channels, *taps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, 1, *taps, generator=generator, dtype=torch.float64)


def block_norms(kernel, geometry):
    return torch.linalg.matrix_norm(dense_blocks(kernel, geometry), 2)


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_every_channel_is_bounded_on_a_known_map(mode, stride, dilation):
    kernel = kernel_of(12, 3, 3) / 5
    geometry = plain(
        2,
        groups=12,
        padding=(2, 1),
        stride=(stride, stride),
        dilation=(dilation, dilation),
        padding_mode=mode,
        input_size=(9, 8),
    )
    found = channel_norms(kernel, geometry)
    exact = block_norms(kernel, geometry)
    assert found.is_periodic
    assert bool((exact <= found.upper * (1 + 1e-12)).all())
    if mode == "zeros" and stride == dilation == 1:  # the torus is hardly larger
        assert bool((found.upper <= 1.25 * exact).all())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_lattice_is_bounded_by_a_coarse_grid(stride, transposed):
    kernel = kernel_of(6, 3, 4, seed=1) / 5
    geometry = plain(2, groups=6, stride=(stride, stride), transposed=transposed)
    found = channel_norms(kernel, geometry)
    assert not found.is_periodic
    for channel in range(6):
        alone = kernel[channel : channel + 1]
        supremum = convolution_norm(alone, replace(geometry, groups=1))
        assert found.reached[channel] <= supremum.upper
        assert supremum.lower <= found.upper[channel] <= 1.04 * supremum.upper


def test_channels_that_mix_are_left_to_others():
    geometry = plain(2, groups=2)
    assert channel_norms(torch.ones(4, 2, 3, 3, dtype=torch.float64), geometry) is None
    assert channel_norms(torch.ones(1, 1, 3, 3, dtype=torch.float64), plain(2)) is None


def test_several_outputs_of_one_channel():
    kernel = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(2)).double() / 5
    geometry = plain(2, groups=4, padding=(1, 1), input_size=(6, 6))
    exact = norm_of(unit_vector_operator(kernel, geometry))
    bracket = convolution_norm(kernel, geometry)
    assert bracket.lower <= exact * (1 + 1e-12)
    assert exact * (1 - 1e-12) <= bracket.upper <= exact * (1 + 1e-6)


@pytest.mark.parametrize("dense", [True, False])
def test_the_channel_that_a_torus_favours_need_not_be_the_largest(dense, monkeypatch):
    """Frequency 0 is on every torus; the zero-padded map is as large at another one."""
    if not dense:
        monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    kernel = torch.zeros(40, 1, 3, 3, dtype=torch.float64)
    kernel[:20] = 0.1 + 1e-3 * kernel_of(20, 3, 3, seed=3)
    kernel[20:, :, 1, 1] = torch.linspace(0.6, 0.86, 20, dtype=torch.float64)[:, None]
    for size in ((7, 7), (12, 15)):
        for stride in (1, 2):
            geometry = plain(2, groups=40, padding=(1, 1), stride=(stride, stride), input_size=size)
            exact = float(block_norms(kernel, geometry).max())
            bracket = convolution_norm(kernel, geometry)
            assert bracket.lower <= exact * (1 + 1e-12)
            assert exact * (1 - 1e-12) <= bracket.upper
            if dense:
                assert bracket.upper <= exact * (1 + 1e-8)


def test_equal_and_vanishing_channels():
    kernel = kernel_of(1, 3, 3, seed=4).repeat(30, 1, 1, 1) / 5
    kernel[3] = 0.0
    kernel[5] *= 1e-170  # whose squares underflow
    for size in (None, (9, 9), (70, 70)):
        geometry = plain(2, groups=30, padding=(1, 1), input_size=size)
        alone = convolution_norm(kernel[:1], replace(geometry, groups=1))
        bracket = convolution_norm(kernel, geometry)
        assert bracket.lower <= alone.upper
        assert alone.lower <= bracket.upper <= alone.upper * (1 + 1e-3)
    found = channel_norms(kernel, plain(2, groups=30))
    assert 0.0 < float(found.upper[5]) < 1e-100
    assert float(found.reached[5]) == 0.0


@pytest.mark.parametrize("dense", [True, False])
def test_random_geometries(dense, monkeypatch):
    if not dense:
        monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    rng = random.Random(21)
    for _ in range(150):
        kernel, geometry = random_case(rng)
        while geometry.groups == 1:
            kernel, geometry = random_case(rng)
        known = on_a_map(kernel, geometry)
        exact = norm_of(unit_vector_operator(kernel, known))
        bracket = convolution_norm(kernel, known)
        assert bracket.lower <= exact * (1 + 1e-12), (kernel, known)
        assert exact * (1 - 1e-12) <= bracket.upper, (kernel, known)
