"""Convolutions of many geometries, their matrices and suprema by other means."""

import itertools
import math
import random
from dataclasses import replace

import torch
from torch.nn import functional

from dlgen_cli.spectra.geometry import ConvolutionGeometry

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
