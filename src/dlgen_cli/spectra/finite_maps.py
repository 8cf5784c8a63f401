"""Convolutions on a map of known size: their explicit matrix and proved lower bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch.nn import functional, grad

from dlgen_cli.spectra.geometry import (
    ConvolutionGeometry,
    of_groups,
    output_size,
    source_cells,
    transfer_taps,
)
from dlgen_cli.spectra.rounding import SLACK, gamma

_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
_ADJOINTS = {1: grad.conv1d_input, 2: grad.conv2d_input, 3: grad.conv3d_input}
_WORK = 2.4e10  # multiplications in float32 spent on a lower bound
_STEPS, _MOST_STEPS = 20, 40  # of Lanczos: for these there is room, and no more are taken
_PAUSE = 4  # steps that must gain something together
_MOST_GROUPS = 4  # groups that a lower bound looks at
_LEAST_CORNER, _CORNER, _MOST_CORNER = 8, 24, 40  # outputs on an axis that it looks at


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Outputs ``u e^{i <w, x>}`` at the places x, which a convolution of one group makes large.

    Attributes:
        vector: u, shape ``(o,)``, complex.
        frequency: w, one entry for each axis, in radians.
    """

    vector: torch.Tensor
    frequency: tuple[float, ...]

    def on_map(self, size: tuple[int, ...]) -> torch.Tensor:
        """Its real part, zero beyond the border; float32, shape ``(o, *size)``."""
        turn = -torch.angle((self.vector * self.vector).sum()) / 2  # no part of it vanishes then
        wave = torch.polar(torch.ones_like(turn), turn).to(torch.complex64)
        wave = wave * self.vector.to(torch.complex64)
        for count, frequency in zip(size, self.frequency, strict=True):
            places = torch.arange(count)
            window = torch.sin(math.pi * (places + 1) / (count + 1))
            wave = wave[..., None] * torch.polar(window, places * frequency)
        return wave.real.contiguous()


def block_shape(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> tuple[int, int, int]:
    """Shape ``(groups, rows, columns)`` of `dense_blocks`."""
    outer, inner = math.prod(output_size(kernel, geometry)), math.prod(geometry.input_size or ())
    if geometry.transposed:
        outer, inner = inner, outer
    return geometry.groups, kernel.shape[0] // geometry.groups * outer, kernel.shape[1] * inner


def dense_blocks(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> torch.Tensor:
    """The matrices of the groups; of a transposed convolution, of its adjoint.

    Every entry is a sum of kernel entries: one of them with zero padding, several where other
    padding brings a cell under more than one tap.

    Args:
        kernel: shape ``(o, i/groups, *k)``, float64.
        geometry: with its ``input_size``.

    Returns:
        float64, shape ``(groups, (o/groups) * outputs, (i/groups) * cells)``.
    """
    inputs, outputs = geometry.input_size or (), output_size(kernel, geometry)
    cells, rows = (outputs, inputs) if geometry.transposed else (inputs, outputs)
    matrix = kernel.reshape(geometry.groups, -1, *kernel.shape[1:])
    for axis, (size, count) in enumerate(zip(cells, rows, strict=True)):
        placed = _placement(kernel.shape[axis + 2], size, count, geometry, axis)
        matrix = torch.tensordot(matrix, placed, dims=([3], [1]))  # appends (row, cell)
    axes = len(cells)
    matrix = matrix.permute(0, 1, *range(3, 3 + 2 * axes, 2), 2, *range(4, 4 + 2 * axes, 2))
    return matrix.reshape(block_shape(kernel, geometry))


def _placement(
    taps: int, size: int, rows: int, geometry: ConvolutionGeometry, axis: int
) -> torch.Tensor:
    """1 where tap a of row x reads cell z, shape ``(rows, taps, size)``."""
    step, spread = geometry.stride[axis], geometry.dilation[axis]
    source = source_cells(size, step * (rows - 1) + spread * (taps - 1) + 1, geometry, axis)
    placed = torch.zeros(rows, taps, size, dtype=torch.float64)
    for row in range(rows):
        for tap in range(taps):
            cell = source[step * row + spread * tap]
            if cell >= 0:
                placed[row, tap, cell] = 1.0
    return placed


def dense_operator(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> torch.Tensor:
    """The explicit matrix of a convolution on a small map.

    Args:
        kernel: shape ``(o, i/groups, *k)``; transposed ``(in, out/groups, *k)``.
        geometry: with its ``input_size``.

    Returns:
        float64, shape ``(out * outputs, in * cells)``: channels first, then the map, both in
        row-major order.
    """
    wide = kernel.detach().to(device="cpu", dtype=torch.float64)
    blocks = dense_blocks(wide, geometry)
    groups, rows, columns = blocks.shape
    matrix = blocks.new_zeros(groups, rows, groups, columns)
    for index in range(groups):
        matrix[index, :, index] = blocks[index]
    matrix = matrix.reshape(groups * rows, groups * columns)
    return matrix.mT.contiguous() if geometry.transposed else matrix


def apply(kernel: torch.Tensor, geometry: ConvolutionGeometry, x: torch.Tensor) -> torch.Tensor:
    """The convolution of a map ``x`` of shape ``(channels, *size)``."""
    axes = kernel.ndim - 2
    padding = geometry.padding
    if geometry.transposed:
        return _TRANSPOSED[axes](
            x[None],
            kernel,
            stride=geometry.stride,
            padding=padding,
            output_padding=geometry.output_padding or 0,
            groups=geometry.groups,
            dilation=geometry.dilation,
        )[0]
    x = x[None]
    if geometry.padding_mode != "zeros":
        sides = [p for p in reversed(padding) for _ in range(2)]
        x, padding = functional.pad(x, sides, mode=geometry.padding_mode), (0,) * axes
    return _CONVOLUTIONS[axes](
        x,
        kernel,
        stride=geometry.stride,
        padding=padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )[0]


def finite_map_lower(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    *,
    enough: float = math.inf,
    tolerance: float = 1e-3,
    wave: Wave | None = None,
) -> float:
    """Lower bound on the operator norm on the known map: ``||A x|| / ||x||`` at a Ritz vector.

    The output of a float64 convolution on the CPU is a sum of products in some order, so its
    error is at most gamma times the convolution of the magnitudes, which is computed too.

    Args:
        kernel: float64, entries at most 1.
        geometry: with its ``input_size``.
        enough: no more is looked for once the bound reaches this.
        tolerance: nor once some more steps would gain much less than this part of it.
        wave: where to start from, of a zero-padded convolution of one group.
    """
    kernel, geometry = _largest_groups(kernel, geometry)
    geometry = _corner(kernel, geometry)
    vector = _ritz_vector(kernel, geometry, enough, tolerance / 10, wave)
    image = apply(kernel, geometry, vector)
    magnitude = apply(kernel.abs(), geometry, vector.abs())
    terms = kernel[0].numel() * (1 if not geometry.transposed else kernel.shape[0])
    norms = [float(part.norm()) for part in (image, magnitude, vector)]
    rounding = gamma(max(image.numel(), vector.numel()) + 8)
    reached = norms[0] * (1 - rounding) - gamma(terms + 8) * norms[1] * (1 + rounding)
    return max(0.0, reached / (norms[2] * (1 + rounding)) / SLACK) if norms[2] else 0.0


def _largest_groups(
    kernel: torch.Tensor, geometry: ConvolutionGeometry
) -> tuple[torch.Tensor, ConvolutionGeometry]:
    """The few groups that look largest at some frequency: a block of the operator."""
    if geometry.groups <= _MOST_GROUPS:
        return kernel, geometry
    taps = transfer_taps(kernel, geometry.stride, geometry.dilation, geometry.groups)
    sizes = [2 * size for size in taps.shape[3:]]
    waves = torch.fft.rfftn(taps.to(torch.float32), s=sizes, dim=tuple(range(3, taps.ndim)))
    heights = waves.abs().square().sum(dim=(1, 2)).flatten(1).amax(dim=1)
    return of_groups(kernel, geometry, heights.argsort(descending=True)[:_MOST_GROUPS])


def _corner(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> ConvolutionGeometry:
    """A smaller map in the corner of a zero-padded one: its operator is a submatrix.

    A vector that is zero outside the corner has the same outputs there as on the corner alone.
    """
    size = geometry.input_size
    if geometry.padding_mode != "zeros" or size is None:
        return geometry
    outputs = (_WORK / (2 * _STEPS * kernel.numel())) ** (1 / len(size))
    side = int(min(_MOST_CORNER, max(_LEAST_CORNER, min(_CORNER, outputs), outputs / 2)))
    axes = zip(size, geometry.stride, geometry.dilation, kernel.shape[2:], strict=True)
    cut = tuple(min(n, s * side + t * (k - 1)) for n, s, t, k in axes)
    return replace(geometry, input_size=cut)


def _ritz_vector(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    enough: float,
    gain: float,
    wave: Wave | None,
) -> torch.Tensor:
    """Approximate top right singular vector by Lanczos, as many steps as the work allows.

    It ends early where the singular value is enough, or has gained too little.
    """
    channels = kernel.shape[0] if geometry.transposed else kernel.shape[1] * geometry.groups
    shape = (channels, *(geometry.input_size or ()))
    rows = shape[1:] if geometry.transposed else output_size(kernel, geometry)
    work = 2 * kernel.numel() * math.prod(rows)
    steps = int(max(_PAUSE, min(_MOST_STEPS, _WORK // work)))
    steps = min(steps, math.prod(shape))
    kernel = kernel.to(torch.float32)  # a vector proves as much, however it was found
    if wave is None:
        vector = torch.randn(math.prod(shape), generator=torch.Generator().manual_seed(0))
    elif geometry.transposed:
        vector = wave.on_map(shape[1:]).flatten()
    else:
        vector = _adjoint(kernel, geometry, shape, wave.on_map(rows)[None]).flatten()
    least = _PAUSE if wave is not None else 2 * _PAUSE
    basis = torch.empty(steps, vector.numel())
    reduced = torch.zeros(steps, steps)
    reached: list[float] = []
    for step in range(steps):
        basis[step] = vector / vector.norm().clamp_min(1e-30)
        image = _normal_image(kernel, geometry, basis[step].reshape(shape)).flatten()
        known = basis[: step + 1]
        reduced[step, : step + 1] = known @ image
        values, columns = torch.linalg.eigh(reduced[: step + 1, : step + 1])
        reached.append(math.sqrt(max(0.0, float(values[-1]))))
        vector = image - known.T @ reduced[step, : step + 1]
        vector -= known.T @ (known @ vector)
        is_done = float(vector.norm()) <= 1e-5 * float(image.norm())
        is_slow = step >= least and reached[-1] <= reached[-1 - _PAUSE] * (1 + gain)
        if is_done or is_slow or reached[-1] > enough * (1 + 1e-5):
            break
    found: torch.Tensor = (known.T @ columns[:, -1]).reshape(shape).to(torch.float64)
    return found


def _normal_image(
    kernel: torch.Tensor, geometry: ConvolutionGeometry, x: torch.Tensor
) -> torch.Tensor:
    """``A^T A x``.

    The first differentiation of a process takes half a second: zero padding does without it.
    """
    if geometry.padding_mode != "zeros":
        with torch.enable_grad():
            variable = x.clone().requires_grad_()
            image = apply(kernel, geometry, variable)
            gradient: torch.Tensor = torch.autograd.grad(image, variable, image.detach())[0]
        return gradient
    image = apply(kernel, geometry, x)[None]
    if not geometry.transposed:
        return _adjoint(kernel, geometry, tuple(x.shape), image)
    settings = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    whole = _CONVOLUTIONS[kernel.ndim - 2](image, kernel, None, *settings)[0]
    return whole[tuple(slice(size) for size in x.shape)]


def _adjoint(
    kernel: torch.Tensor, geometry: ConvolutionGeometry, shape: tuple[int, ...], y: torch.Tensor
) -> torch.Tensor:
    """``A^T y`` of a zero-padded convolution; y has shape ``(1, o, *rows)``."""
    settings = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    found: torch.Tensor = _ADJOINTS[kernel.ndim - 2](  # type: ignore[no-untyped-call]
        (1, *shape), kernel, y, *settings
    )
    return found[0]
