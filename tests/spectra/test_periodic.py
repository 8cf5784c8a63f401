"""Circular padding, and the torus that encloses a known map, against explicit matrices."""

import itertools
import random
from dataclasses import replace

import pytest
import torch
from convolutions import norm_of, plain, unit_vector_operator

from dlgen_cli.spectra.convolution import convolution_norm
from dlgen_cli.spectra.finite_maps import dense_operator


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Thousands of small products: threads only wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        ((3, 2, 3, 3), {"padding": (1, 1), "input_size": (6, 5)}),
        ((2, 3, 5, 3), {"padding": (2, 1), "input_size": (4, 7)}),
        ((2, 2, 3, 3), {"padding": (2, 2), "dilation": (2, 2), "input_size": (6, 6)}),
        ((4, 1, 3, 3), {"padding": (1, 1), "groups": 4, "input_size": (5, 4)}),
        ((2, 2, 3, 3), {"padding": (1, 1), "stride": (2, 2), "input_size": (6, 8)}),
        ((2, 2, 4, 3), {"padding": (2, 1), "stride": (2, 3), "input_size": (6, 7)}),
        ((2, 2, 5, 3), {"padding": (2, 1), "stride": (4, 6), "input_size": (6, 9)}),
        (
            (2, 3, 5, 5),
            {"padding": (2, 2), "stride": (4, 4), "dilation": (2, 3), "input_size": (14, 18)},
        ),
        ((2, 2, 3), {"padding": (4,), "input_size": (5,)}),
        ((1, 2, 3, 3, 3), {"padding": (1, 1, 1), "input_size": (4, 3, 3)}),
        ((2, 2, 3, 3), {"padding": (4, 2), "stride": (2, 1), "dilation": (4, 2)}),
    ],
)
def test_circular_padding(shape, changes, monkeypatch):
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    geometry = plain(len(shape) - 2, padding_mode="circular", **changes)
    known = replace(geometry, input_size=geometry.input_size or (8, 6))
    exact = norm_of(unit_vector_operator(kernel, known))
    torch.testing.assert_close(dense_operator(kernel, known), unit_vector_operator(kernel, known))
    assert convolution_norm(kernel, replace(known, input_size=None)).upper >= exact
    explicit = convolution_norm(kernel, known)
    monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    by_grid = convolution_norm(kernel, known)
    for bracket in (explicit, by_grid):
        assert bracket.lower <= exact * (1 + 1e-12)
        assert exact * (1 - 1e-12) <= bracket.upper


def test_circular_with_a_stride_that_shares_a_factor_with_the_map(monkeypatch):
    """All four outputs of the map read from even places: half the rows of the one of stride 1."""
    monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    kernel = torch.ones(1, 1, 5)
    geometry = plain(1, padding=(2,), stride=(4,), padding_mode="circular", input_size=(14,))
    exact = norm_of(unit_vector_operator(kernel, geometry))
    found = convolution_norm(kernel, geometry).upper
    assert exact <= found
    assert found < 0.75 * convolution_norm(kernel, replace(geometry, stride=(1,))).upper


def test_circular_at_stride_one_is_exact(monkeypatch):
    monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    kernel = torch.randn(3, 4, 3, 5, generator=torch.Generator().manual_seed(4))
    for dilation, padding in (((1, 1), (1, 2)), ((2, 3), (2, 6)), ((5, 1), (5, 2))):
        geometry = plain(
            2, padding=padding, dilation=dilation, padding_mode="circular", input_size=(6, 9)
        )
        exact = norm_of(unit_vector_operator(kernel, geometry))
        bracket = convolution_norm(kernel, geometry)
        assert bracket.lower == pytest.approx(exact, rel=1e-9)
        assert bracket.upper == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_reflect_and_replicate_are_bounded(mode, monkeypatch):
    rng = random.Random(5)
    for trial in range(30):
        axes = rng.choice((1, 2))
        pads = tuple(rng.randint(0, 2) for _ in range(axes))
        size = tuple(rng.randint(max(3, p + 1), 7) for p in pads)
        generator = torch.Generator().manual_seed(trial)
        kernel = torch.randn(2, 2, *(3,) * axes, generator=generator)
        stride = tuple(rng.randint(1, 2) for _ in range(axes))
        geometry = plain(axes, padding=pads, stride=stride, padding_mode=mode, input_size=size)
        operator = unit_vector_operator(kernel, geometry)
        torch.testing.assert_close(dense_operator(kernel, geometry), operator)
        exact = norm_of(operator)
        explicit = convolution_norm(kernel, geometry)
        with monkeypatch.context() as patch:
            patch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
            by_factor = convolution_norm(kernel, geometry)
        unknown = convolution_norm(kernel, replace(geometry, input_size=None))
        for bracket in (explicit, by_factor):
            assert bracket.lower <= exact * (1 + 1e-12)
            assert exact * (1 - 1e-12) <= bracket.upper
        assert exact <= unknown.upper
        assert explicit.upper == pytest.approx(exact, rel=1e-6)


def test_a_torus_encloses_the_map_and_is_no_looser_than_the_lattice(monkeypatch):
    monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    generator = torch.Generator().manual_seed(18)
    for mode in ("zeros", "reflect", "replicate"):
        for stride, dilation, padding in itertools.product((1, 2, 3), (1, 2), (0, 1, 2)):
            kernel = torch.randn(3, 2, 3, 2, generator=generator)
            geometry = plain(
                2,
                stride=(stride, 1),
                dilation=(dilation, 1),
                padding=(padding, 1),
                padding_mode=mode,
                input_size=(5, 6),
            )
            exact = norm_of(unit_vector_operator(kernel, geometry))
            bracket = convolution_norm(kernel, geometry)
            lattice = convolution_norm(kernel, replace(geometry, input_size=None))
            assert bracket.lower <= exact * (1 + 1e-12)
            assert exact * (1 - 1e-12) <= bracket.upper <= lattice.upper * (1 + 1e-12)
