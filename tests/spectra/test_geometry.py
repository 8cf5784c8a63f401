"""Geometry of convolutions: sizes as torch's, norms of padding, the polyphase form."""

import random
from dataclasses import replace

import pytest
import torch
from convolutions import norm_of, plain, random_case, supremum_reference, unit_vector_operator
from torch.nn import functional

from dlgen_cli.errors import TensorError
from dlgen_cli.spectra.geometry import (
    ConvolutionGeometry,
    check_geometry,
    circular_repeats,
    frequency_step,
    output_size,
    padding_factor_squared,
    patch_factor_upper,
    source_cells,
    transfer_taps,
)

LINE = ConvolutionGeometry(stride=(1,), padding=(0,), dilation=(1,), groups=1)
KERNEL = torch.ones(1, 1, 3)


def on_a_line(size, **changes):
    return replace(LINE, input_size=(size,), **changes)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_sizes_are_those_of_torch(stride, padding, dilation):
    numbers = {"stride": (stride,), "padding": (padding,), "dilation": (dilation,)}
    geometry = on_a_line(9, **numbers)
    forward = functional.conv1d(torch.zeros(1, 1, 9), KERNEL, None, **numbers)
    assert output_size(KERNEL, geometry) == tuple(forward.shape[2:])
    back = functional.conv_transpose1d(torch.zeros(1, 1, 9), KERNEL, None, **numbers)
    transposed = replace(geometry, transposed=True)
    assert output_size(KERNEL, transposed) == tuple(back.shape[2:])


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "constant"])
@pytest.mark.parametrize(("size", "pad"), [(4, 1), (5, 3), (2, 1)])
def test_padded_cells_are_those_of_torch(mode, size, pad):
    cells = torch.arange(1.0, size + 1)
    padded = functional.pad(cells[None, None], (pad, pad), mode=mode).flatten().tolist()
    name = "zeros" if mode == "constant" else mode
    geometry = on_a_line(size, padding=(pad,), padding_mode=name)
    found = source_cells(size, size + 2 * pad, geometry, 0)
    assert [0.0 if cell < 0 else float(cells[cell]) for cell in found] == padded
    copies = max(found.count(cell) for cell in range(size))
    if name != "circular":  # whose copies are counted by the rows of the circulant matrix
        assert copies <= padding_factor_squared(KERNEL, geometry)
        unknown = replace(geometry, input_size=None)
        assert copies <= padding_factor_squared(KERNEL, unknown)


@pytest.mark.parametrize(("size", "stride", "pad"), [(6, 1, 1), (6, 2, 2), (5, 2, 5), (4, 3, 4)])
def test_circulant_rows_occur_no_more_often_than_is_said(size, stride, pad):
    geometry = on_a_line(size, stride=(stride,), padding=(pad,), padding_mode="circular")
    rows = [stride * x % size for x in range(output_size(KERNEL, geometry)[0])]
    most = max(rows.count(row) for row in rows)
    assert most <= circular_repeats(KERNEL, geometry, 0)
    assert most <= circular_repeats(KERNEL, replace(geometry, input_size=None), 0)


@pytest.mark.parametrize(
    ("stride", "dilation"), [(1, 1), (2, 1), (3, 2), (2, 4), (1, 3), (4, 2), (3, 3)]
)
def test_the_polyphase_form_has_the_norm_of_the_convolution(stride, dilation):
    kernel = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(5)).double()
    taps = transfer_taps(kernel, (stride,), (dilation,), 1)
    assert taps.shape[2] <= taps.shape[1]
    assert sorted(taps[taps != 0].tolist()) == sorted(kernel.flatten().tolist())
    # a periodic map, long enough for every tap, and a multiple of the stride
    cells = 24
    rows = torch.zeros(cells // stride, 2, 3, cells, dtype=torch.float64)
    for x in range(cells // stride):
        for a in range(4):
            rows[x, :, :, (stride * x + dilation * a) % cells] += kernel[:, :, a]
    matrix = rows.reshape(-1, 3 * cells)
    exact = float(torch.linalg.matrix_norm(matrix, 2))
    step = frequency_step(stride, dilation)
    points = torch.arange(cells // stride, dtype=torch.float64)
    angles = 2 * torch.pi * step * points / (cells // stride)
    waves = torch.exp(1j * angles[:, None] * torch.arange(taps.shape[-1]))
    symbols = torch.einsum("pmq,wq->wpm", taps[0].to(waves.dtype), waves)
    found = float(torch.linalg.matrix_norm(symbols, 2).max())
    assert found == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": (0,)},
        {"padding": (-1,)},
        {"dilation": (1, 1)},
        {"groups": 0},
        {"groups": 2},
        {"transposed": True, "padding_mode": "reflect"},
        {"input_size": (2,)},
        {"input_size": (3,), "padding": (3,), "padding_mode": "reflect"},
    ],
)
def test_what_is_no_convolution_is_refused(changed):
    with pytest.raises(TensorError):
        check_geometry(KERNEL, replace(LINE, **changed))
    check_geometry(KERNEL, LINE)


@pytest.mark.parametrize("kernel", [torch.ones(2, 2), torch.ones(0, 1, 3), torch.ones(1) / 0])
def test_what_is_no_kernel_is_refused(kernel):
    with pytest.raises(TensorError):
        check_geometry(kernel.reshape(1, 1, 1) if kernel.ndim == 1 else kernel, LINE)


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


def largest_group(matrices):
    return float(torch.linalg.matrix_norm(matrices, 2).max())


def test_the_patch_factor_bounds_what_a_truncation_cuts_off():
    rng = random.Random(13)
    for _ in range(60):
        kernel, geometry = random_case(rng)
        matrices = kernel.double().reshape(geometry.groups, kernel.shape[0] // geometry.groups, -1)
        left, values, right = torch.linalg.svd(matrices, full_matrices=False)
        factor = patch_factor_upper(kernel, geometry)
        for rank in range(values.shape[1]):
            kept = (left[..., :rank] * values[:, None, :rank]) @ right[:, :rank]
            residual = matrices - kept
            exact = supremum_reference(residual.reshape(kernel.shape), geometry)
            assert exact <= factor * largest_group(residual) * (1 + 1e-12)


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 2)])
def test_the_patch_factor_holds_on_padded_maps(mode, stride):
    kernel = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(14))
    geometry = plain(2, padding=(1, 1), stride=stride, padding_mode=mode, input_size=(5, 7))
    exact = norm_of(unit_vector_operator(kernel, geometry))
    assert exact <= patch_factor_upper(kernel, geometry) * norm_of(kernel.double().flatten(1))
