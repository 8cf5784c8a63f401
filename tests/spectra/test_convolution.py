from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn import functional

from dlgen_cli.errors import TensorError
from dlgen_cli.records import Interval
from dlgen_cli.spectra.convolution import (
    ConvolutionGeometry,
    convolution_norm,
    dense_operator,
    reshaped_norm,
    truncation_errors_upper,
)
from dlgen_cli.spectra.geometry import padding_factor_squared

CASES = 520
FORWARD = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def plain(axes: int, **changes: object) -> ConvolutionGeometry:
    ones = ConvolutionGeometry(
        stride=(1,) * axes, padding=(0,) * axes, dilation=(1,) * axes, groups=1
    )
    return replace(ones, **changes)


def unit_vector_operator(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> torch.Tensor:
    """The matrix, by convolving every unit vector."""
    axes = kernel.ndim - 2
    channels = kernel.shape[0] if geometry.transposed else kernel.shape[1] * geometry.groups
    shape = (channels, *geometry.input_size)
    units = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    kernel = kernel.double()
    common = {
        "stride": geometry.stride,
        "dilation": geometry.dilation,
        "groups": geometry.groups,
    }
    if geometry.transposed:
        extra = geometry.output_padding or 0
        images = TRANSPOSED[axes](
            units, kernel, padding=geometry.padding, output_padding=extra, **common
        )
    elif geometry.padding_mode == "zeros":
        images = FORWARD[axes](units, kernel, padding=geometry.padding, **common)
    else:
        sides = [p for p in reversed(geometry.padding) for _ in range(2)]
        padded = functional.pad(units, sides, mode=geometry.padding_mode)
        images = FORWARD[axes](padded, kernel, **common)
    return images.flatten(1).T


def norm_of(matrix: torch.Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2))


def symbol_norms(
    kernel: torch.Tensor, geometry: ConvolutionGeometry, theta: torch.Tensor
) -> torch.Tensor:
    """Norms of the aliased symbol at output frequencies ``(B, axes)``, not the polyphase form."""
    axes = kernel.ndim - 2
    grouped = kernel.double().reshape(geometry.groups, -1, *kernel.shape[1:]).flatten(3)
    taps = torch.cartesian_prod(*(torch.arange(k) for k in kernel.shape[2:])).reshape(-1, axes)
    taps = (taps * torch.tensor(geometry.dilation)).double()
    step = torch.tensor(geometry.stride).double()
    parts = []
    for alias in itertools.product(*(range(s) for s in geometry.stride)):
        w = (theta + 2 * math.pi * torch.tensor(alias).double()) / step
        waves = torch.exp(1j * (w @ taps.T))
        parts.append(torch.einsum("goia,ba->bgoi", grouped.to(waves.dtype), waves))
    stacked = torch.cat(parts, dim=3) / math.sqrt(math.prod(geometry.stride))
    return torch.linalg.matrix_norm(stacked, 2).amax(dim=1)


def supremum_reference(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> float:
    """A fine grid and five rounds of zooming in at its best points."""
    axes = kernel.ndim - 2
    counts = []
    for k, s, t in zip(kernel.shape[2:], geometry.stride, geometry.dilation, strict=True):
        degree = (k - 1) if t % s == 0 else math.ceil(t * (k - 1) / s)
        counts.append(1 if degree == 0 else {1: 64, 2: 12, 3: 6}[axes] * degree + 1)
    steps = (geometry.stride, geometry.dilation)
    folds = [t // s if t % s == 0 else 1 for s, t in zip(*steps, strict=True)]
    spans = [2 * math.pi / f for f in folds]
    ranges = [torch.arange(n).double() * (w / n) for n, w in zip(counts, spans, strict=True)]
    points = torch.cartesian_prod(*ranges).reshape(-1, axes)
    heights = symbol_norms(kernel, geometry, points)
    width = torch.tensor([w / n for n, w in zip(counts, spans, strict=True)]).double()
    offsets = torch.cartesian_prod(*[torch.linspace(-1, 1, 5).double()] * axes).reshape(-1, axes)
    best = float(heights.max())
    starts = points[heights.topk(min(4, len(points))).indices]
    for _ in range(5):
        near = (starts.unsqueeze(1) + offsets * width).flatten(0, 1)
        heights = symbol_norms(kernel, geometry, near)
        starts = near.reshape(len(starts), -1, axes)[
            torch.arange(len(starts)), heights.reshape(len(starts), -1).argmax(dim=1)
        ]
        best, width = max(best, float(heights.max())), width / 2
    return best


@dataclass(frozen=True)
class Measured:
    kernel: torch.Tensor
    geometry: ConvolutionGeometry
    bracket: Interval
    supremum: float


def random_case(rng: random.Random) -> tuple[torch.Tensor, ConvolutionGeometry]:
    axes = rng.choices((1, 2, 3), (2, 7, 1))[0]
    sizes = tuple(rng.randint(1, {1: 7, 2: 7, 3: 3}[axes]) for _ in range(axes))
    if rng.random() < 0.4:
        sizes = (sizes[0],) * axes
    style = rng.choice(("dense", "dense", "groups", "depthwise"))
    groups = 1 if style == "dense" else rng.randint(2, 4)
    ins, outs = (1, rng.randint(1, 2)) if style == "depthwise" else (rng.randint(1, 4),) * 2
    outs = rng.randint(1, 4) if style == "dense" else outs
    generator = torch.Generator().manual_seed(rng.randrange(1 << 30))
    kernel = torch.randn(groups * outs, ins, *sizes, generator=generator)
    if rng.random() < 0.15:
        kernel = kernel.abs()
    stride = tuple(rng.randint(1, 3) for _ in range(axes)) if rng.random() < 0.5 else (1,) * axes
    dilation = tuple(rng.randint(1, 3) for _ in range(axes)) if rng.random() < 0.3 else (1,) * axes
    padding = tuple(rng.randint(0, 3) for _ in range(axes))
    return kernel, ConvolutionGeometry(
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        transposed=rng.random() < 0.25,
    )


def on_a_map(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> ConvolutionGeometry:
    """A small map on which the output is not empty."""
    reach = [t * (k - 1) + 1 for t, k in zip(geometry.dilation, kernel.shape[2:], strict=True)]
    if geometry.transposed:
        axes = zip(reach, geometry.stride, geometry.padding, strict=True)
        size = tuple(max(3, (2 * p + 1 - r) // s + 2) for r, s, p in axes)
    else:
        least = {1: 9, 2: 6, 3: 4}[kernel.ndim - 2]
        axes = zip(reach, geometry.padding, strict=True)
        size = tuple(max(least, r - 2 * p + 1) for r, p in axes)
    return replace(geometry, input_size=size)


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


@pytest.mark.parametrize(
    ("mode", "size", "pad"),
    [
        (mode, size, pad)
        for mode in ("reflect", "replicate")
        for size in range(1, 9)
        for pad in range(1, 5)
        if mode == "replicate" or pad < size  # a reflection needs a map wider than the padding
    ],
)
def test_norm_of_the_padding_map(mode, size, pad):
    kernel = torch.ones(1, 1, 1)
    geometry = plain(1, padding=(pad,), padding_mode=mode, input_size=(size,))
    exact = norm_of(unit_vector_operator(kernel, geometry)) ** 2
    factor = padding_factor_squared(kernel, geometry)
    assert exact <= factor * (1 + 1e-12)
    if mode == "replicate" or size >= 2 * pad + 2:
        assert exact == pytest.approx(factor)
    assert padding_factor_squared(kernel, replace(geometry, input_size=None)) >= factor


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


def test_lower_end_on_a_map_too_large_for_its_matrix():
    kernel = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(6))
    for transposed in (False, True):
        geometry = plain(
            2, padding=(1, 1), groups=2, transposed=transposed, stride=(2, 1), input_size=(40, 30)
        )
        bracket = convolution_norm(kernel, geometry)
        assert bracket.upper <= convolution_norm(kernel, replace(geometry, input_size=None)).upper
        assert 0.97 * bracket.upper <= bracket.lower <= bracket.upper


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
    assert truncation_errors_upper(kernel, geometry, [0, 1, 2]) == [0.0, 0.0, 0.0]


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


def test_reshaped_norm_is_no_bound_on_the_operator():
    kernel = torch.ones(1, 1, 3, 3)
    assert reshaped_norm(kernel).upper == pytest.approx(3.0)
    assert convolution_norm(kernel, plain(2)).lower == pytest.approx(9.0)


def test_truncation_errors_bound_the_residual_operator():
    rng = random.Random(13)
    for _ in range(60):
        kernel, geometry = random_case(rng)
        groups = geometry.groups
        matrices = kernel.double().reshape(groups, kernel.shape[0] // groups, -1)
        full = min(matrices.shape[1:])
        ranks = list(range(full + 1))
        cheap = truncation_errors_upper(kernel, geometry, ranks)
        sharp = truncation_errors_upper(kernel, geometry, ranks, sharp=ranks[:2])
        left, values, right = torch.linalg.svd(matrices, full_matrices=False)
        for rank in ranks:
            kept = (left[..., :rank] * values[:, None, :rank]) @ right[:, :rank]
            residual = (matrices - kept).reshape(kernel.shape)
            exact = supremum_reference(residual, geometry)
            assert exact <= cheap[rank] * (1 + 1e-12) + 1e-12
            assert exact <= sharp[rank] * (1 + 1e-12) + 1e-12
            assert sharp[rank] <= cheap[rank] * (1 + 1e-12)
        assert cheap[full] == 0.0
        assert sharp[0] <= convolution_norm(kernel, geometry).upper * (1 + 1e-9)


def test_truncation_errors_on_padded_maps():
    generator = torch.Generator().manual_seed(14)
    for mode in ("circular", "reflect", "replicate"):
        for stride in ((1, 1), (2, 2), (3, 2)):
            kernel = torch.randn(3, 2, 3, 3, generator=generator)
            geometry = plain(2, padding=(1, 1), stride=stride, padding_mode=mode, input_size=(5, 7))
            left, values, right = torch.linalg.svd(kernel.double().flatten(1), full_matrices=False)
            errors = truncation_errors_upper(kernel, geometry, [0, 1, 2])
            for rank, error in enumerate(errors):
                residual = (left[:, rank:] * values[rank:]) @ right[rank:]
                matrix = unit_vector_operator(residual.reshape(kernel.shape), geometry)
                assert norm_of(matrix) <= error


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
