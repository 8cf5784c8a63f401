"""Brackets of norms on the lattice and on small maps, against references of other kinds."""

import math
import random
from dataclasses import dataclass, replace

import pytest
import torch
from convolutions import (
    norm_of,
    on_a_map,
    plain,
    random_case,
    supremum_reference,
    unit_vector_operator,
)

from dlgen_cli.errors import TensorError
from dlgen_cli.records import Interval
from dlgen_cli.spectra.convolution import convolution_norm
from dlgen_cli.spectra.finite_maps import dense_operator
from dlgen_cli.spectra.geometry import ConvolutionGeometry

CASES = 520


@dataclass(frozen=True)
class Measured:
    kernel: torch.Tensor
    geometry: ConvolutionGeometry
    bracket: Interval
    supremum: float


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Thousands of small products: threads only wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def measured() -> list[Measured]:
    rng = random.Random(7)
    found = []
    for _ in range(CASES):
        kernel, geometry = random_case(rng)
        bracket = convolution_norm(kernel, geometry)
        found.append(Measured(kernel, geometry, bracket, supremum_reference(kernel, geometry)))
    return found


def test_upper_end_never_below_the_explicit_operator(measured):
    for case in measured:
        exact = norm_of(unit_vector_operator(case.kernel, on_a_map(case.kernel, case.geometry)))
        assert case.bracket.upper >= exact * (1 - 1e-12), case


def test_bracket_encloses_the_lattice_supremum(measured):
    for case in measured:
        assert case.bracket.upper >= case.supremum * (1 - 1e-12), case
        assert case.bracket.lower <= case.bracket.upper
        # the reference is a maximum over finitely many frequencies, so a little low
        assert case.bracket.lower <= case.supremum * (1 + 2e-3), case


def test_lower_end_is_reached_by_a_large_map():
    generator = torch.Generator().manual_seed(1)
    kernel = torch.randn(2, 2, 3, generator=generator)
    for stride in (1, 2):
        geometry = plain(1, stride=(stride,))
        known = replace(geometry, input_size=(400,))
        exact = norm_of(unit_vector_operator(kernel, known))
        bracket = convolution_norm(kernel, geometry)
        assert exact * (1 - 1e-12) <= bracket.upper
        assert exact == pytest.approx(bracket.lower, rel=1e-3)


def test_median_excess_is_at_most_a_tenth_of_a_percent(measured):
    excess = sorted(case.bracket.upper / case.supremum - 1 for case in measured)
    assert excess[len(excess) // 2] <= 1e-3
    assert excess[int(0.95 * len(excess))] <= 1e-3


def test_brackets_are_narrow(measured):
    assert max(case.bracket.upper / case.bracket.lower for case in measured) <= 1.001


def test_known_maps_are_enclosed_almost_exactly(measured):
    for case in measured[:120]:
        known = on_a_map(case.kernel, case.geometry)
        exact = norm_of(unit_vector_operator(case.kernel, known))
        bracket = convolution_norm(case.kernel, known)
        assert bracket.lower <= exact * (1 + 1e-12)
        assert exact * (1 - 1e-12) <= bracket.upper <= exact * (1 + 1e-6) + 1e-300


def test_dense_operator_is_the_convolution(measured):
    for case in measured[:120]:
        known = on_a_map(case.kernel, case.geometry)
        expected = unit_vector_operator(case.kernel, known)
        torch.testing.assert_close(dense_operator(case.kernel, known), expected)


@pytest.mark.parametrize("size", [7, 28])
def test_ones_on_a_known_map(size):
    geometry = plain(2, padding=(1, 1), input_size=(size, size))
    bracket = convolution_norm(torch.ones(1, 1, 3, 3), geometry)
    exact = (1 + 2 * math.cos(math.pi / (size + 1))) ** 2
    assert bracket.lower <= exact <= bracket.upper
    assert exact == pytest.approx({7: 8.109732, 28: 8.929793}[size], abs=1e-6)
    assert bracket.upper == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize(
    ("kernel", "stride", "exact"),
    [
        (torch.ones(3, 3), 1, 9.0),
        (torch.ones(3, 3), 2, 5.0),
        (torch.ones(2, 2), 2, 2.0),
        (torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]), 1, 8.0),
        (torch.full((7, 7), 1 / 49, dtype=torch.float64), 7, 1 / 7),
    ],
    ids=["ones", "ones stride 2", "2x2 stride 2", "Sobel", "mean stride 7"],
)
def test_norms_known_in_closed_form(kernel, stride, exact):
    geometry = plain(2, stride=(stride, stride))
    bracket = convolution_norm(kernel[None, None], geometry)
    assert bracket.lower <= exact * (1 + 1e-15)
    assert exact * (1 - 1e-15) <= bracket.upper <= exact * (1 + 1e-9)


def test_patches_that_do_not_overlap_have_the_norm_of_the_matrix():
    kernel = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(15))
    exact = norm_of(kernel.double().flatten(1))
    for size in (None, (4, 4), (224, 224)):
        for transposed in (False, True):
            geometry = plain(2, stride=(4, 5), input_size=size, transposed=transposed)
            bracket = convolution_norm(kernel, geometry)
            assert bracket.lower == pytest.approx(exact, rel=1e-10)
            assert bracket.lower <= exact * (1 + 1e-14) <= bracket.upper * (1 + 1e-13)


@pytest.mark.parametrize("power", [-640, -60, 1, 60, 500])
def test_powers_of_two_scale_the_bracket_exactly(power):
    kernel = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(8)).double()
    geometry = plain(2, stride=(1, 2))
    whole = convolution_norm(kernel, geometry)
    scaled = convolution_norm(torch.ldexp(kernel, torch.tensor(power)), geometry)
    assert scaled.lower == math.ldexp(whole.lower, power)
    assert scaled.upper == math.ldexp(whole.upper, power)


def test_homogeneity():
    kernel = torch.randn(3, 2, 5, 3, generator=torch.Generator().manual_seed(9)).double()
    geometry = plain(2)
    whole = convolution_norm(kernel, geometry)
    for factor in (-1.0, 3.7, 1e-9):
        scaled = convolution_norm(factor * kernel, geometry)
        assert scaled.lower <= abs(factor) * whole.upper * (1 + 1e-14)
        assert abs(factor) * whole.lower <= scaled.upper * (1 + 1e-14)


@pytest.mark.parametrize("size", [None, (5, 5)])
def test_zero_kernels(size):
    kernel = torch.zeros(2, 2, 3, 3)
    geometry = plain(2, input_size=size)
    assert convolution_norm(kernel, geometry) == Interval(lower=0.0, upper=0.0)


def test_tiny_and_huge_kernels():
    kernel = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(10)).double()
    geometry = plain(2)
    exact = supremum_reference(kernel, geometry)
    for factor in (1e-320, 1e-200, 1e200, 1e305):
        bracket = convolution_norm(kernel * factor, geometry)
        assert bracket.lower <= exact * factor * 1.01
        assert exact * factor * 0.99 <= bracket.upper <= exact * factor * 1.02
    beyond = convolution_norm(torch.full((4, 4, 3, 3), 1.7e308, dtype=torch.float64), geometry)
    assert math.isfinite(beyond.lower)
    assert beyond.upper == math.inf


def test_kernels_whose_norm_does_not_depend_on_the_frequency():
    one_tap = torch.zeros(64, 64, 3, 3)
    one_tap[:, :, 1, 1] = torch.linalg.qr(
        torch.randn(64, 64, generator=torch.Generator().manual_seed(11))
    )[0]
    shifts = torch.zeros(2, 2, 3, 3)
    shifts[0, 0, 0, 2] = shifts[1, 1, 2, 1] = 1.0
    for kernel in (one_tap, shifts):
        bracket = convolution_norm(kernel, plain(2))
        assert bracket.lower <= 1 + 1e-5
        assert 1 - 1e-5 <= bracket.upper <= 1.001


def test_an_exhausted_budget_widens_and_stays_true(monkeypatch):
    monkeypatch.setattr("dlgen_cli.spectra.supremum._BUDGET", 1e-3)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        kernel = torch.randn(3, 3, 3, 3, generator=generator)
        bracket = convolution_norm(kernel, plain(2))
        exact = supremum_reference(kernel, plain(2))
        assert bracket.lower <= exact * (1 + 1e-3)
        assert exact <= bracket.upper * (1 + 1e-12)


@pytest.mark.parametrize("tolerance", [0.1, 0.02, 9e-4, 1e-5])
def test_wide_kernels_use_lanczos_and_float32(tolerance):
    kernel = torch.randn(80, 72, 3, generator=torch.Generator().manual_seed(12))
    bracket = convolution_norm(kernel, plain(1), tolerance)
    exact = supremum_reference(kernel, plain(1))
    assert bracket.lower <= exact * (1 + 1e-6)
    assert exact <= bracket.upper <= bracket.lower * (1 + 1.001 * tolerance)


@pytest.mark.parametrize("input_size", [None, (20, 20)])
@pytest.mark.parametrize("kept", [1, 2, 16])
def test_a_wide_kernel_of_few_channels_is_measured_as_those(kept, input_size):
    """What is left of a pruned layer: Gram matrices of low rank."""
    few = torch.randn(80, kept, 3, 3, generator=torch.Generator().manual_seed(kept))
    kernel = torch.zeros(80, 70, 3, 3)
    kernel[:, :kept] = few
    geometry = replace(plain(2), padding=(1, 1), input_size=input_size)
    whole = convolution_norm(kernel, geometry)
    alone = convolution_norm(few, geometry)
    assert whole.lower <= alone.upper
    assert alone.lower <= whole.upper <= alone.upper * 1.03


@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
def test_no_upper_end_below_the_explicit_operator_at_the_default_tolerance(single, monkeypatch):
    """By the lattice and by the torus: 2,000 maps in all, none by its own matrix."""
    monkeypatch.setattr("dlgen_cli.spectra.convolution._DENSE_ENTRIES", 0)
    monkeypatch.setattr("dlgen_cli.spectra.convolution._NARROW_ORDER", 0)
    monkeypatch.setattr("dlgen_cli.spectra.finite_maps._WORK", 0)
    if single:
        monkeypatch.setattr("dlgen_cli.spectra.transfer._SMALL", 1)
    rng = random.Random(17 + single)
    for _ in range(500):
        kernel, geometry = random_case(rng)
        while kernel.numel() > 100 or kernel.ndim > 4:
            kernel, geometry = random_case(rng)
        known = on_a_map(kernel, geometry)
        exact = norm_of(unit_vector_operator(kernel, known))
        for bracket in (convolution_norm(kernel, known), convolution_norm(kernel, geometry)):
            assert bracket.upper >= exact * (1 - 1e-12), (kernel, known)
        assert bracket.upper <= bracket.lower * 1.0201


@pytest.mark.parametrize("taps", [3, 7])
@pytest.mark.parametrize("axes", [1, 2])
def test_a_single_peak_between_the_points_of_a_grid(taps, axes, monkeypatch):
    monkeypatch.setattr("dlgen_cli.spectra.convolution._NARROW_ORDER", 0)
    generator = torch.Generator().manual_seed(19)
    places = torch.arange(taps, dtype=torch.float64)
    for _ in range(25):
        peak = 2 * math.pi * torch.rand(axes, dtype=torch.float64, generator=generator)
        wave = (places * peak[0]).cos()
        if axes == 2:
            wave = (places[:, None] * peak[0] + places * peak[1]).cos()
        exact = supremum_reference(wave[None, None], plain(axes))
        bracket = convolution_norm(wave[None, None], plain(axes))
        assert exact * (1 - 1e-12) <= bracket.upper
        assert bracket.upper <= bracket.lower * 1.0201


@pytest.mark.parametrize(
    ("kernel", "geometry"),
    [
        (torch.ones(2, 2), plain(1)),
        (torch.ones(2, 2, 1, 1, 1, 1), plain(4)),
        (torch.full((1, 1, 3), math.nan), plain(1)),
        (torch.ones(1, 1, 3), plain(2)),
        (torch.ones(1, 1, 3), plain(1, stride=(0,))),
        (torch.ones(3, 1, 3), plain(1, groups=2)),
        (torch.ones(1, 1, 5), plain(1, input_size=(3,))),
        (torch.ones(1, 1, 3), plain(1, transposed=True, padding_mode="reflect")),
        (torch.ones(1, 1, 3), plain(1, padding=(3,), padding_mode="reflect", input_size=(3,))),
        (torch.ones(1, 1, 3), plain(1, padding=(4,), padding_mode="circular", input_size=(3,))),
    ],
)
def test_what_is_no_convolution_is_refused(kernel, geometry):
    with pytest.raises(TensorError):
        convolution_norm(kernel, geometry)
