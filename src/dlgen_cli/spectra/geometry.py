"""What a convolution does to its map: stride, padding, dilation, groups.

A kernel has shape ``(o, i/groups, *k)`` and computes, on each spatial axis,

    y[x] = sum_a K[a] z[s x + t a],        s the stride, t the dilation, z the padded map.

A transposed convolution is the adjoint of the convolution whose kernel has the same shape as the
stored weight ``(in, out/groups, *k)``: its norm is that of this convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from dlgen_cli.errors import TensorError
from dlgen_cli.spectra.rounding import SLACK

PaddingMode = Literal["zeros", "circular", "reflect", "replicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionGeometry:
    """How a kernel is applied; one entry for each spatial axis.

    Attributes:
        stride: step between outputs.
        padding: pixels added on both sides.
        dilation: step between taps.
        groups: blocks of channels that do not mix.
        transposed: the adjoint; the stored layout is ``(in, out/groups, *k)``.
        output_padding: transposed only; empty means none.
        padding_mode: what the padding holds.
        input_size: spatial size of the map it is applied to; None where unknown.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    padding_mode: PaddingMode = "zeros"
    input_size: tuple[int, ...] | None = None


def check_geometry(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> None:
    """Refuse what is no convolution.

    Raises:
        TensorError: shapes, sizes or the padding mode do not fit, or an entry is not finite.
    """
    axes = kernel.ndim - 2
    if not 1 <= axes <= 3 or kernel.numel() == 0:
        raise TensorError(
            f"A kernel of shape {tuple(kernel.shape)} is no 1-D, 2-D or 3-D convolution.",
            remedy="Expected (out, in/groups, *sizes) with one to three sizes.",
        )
    if not bool(torch.isfinite(kernel).all()):
        raise TensorError("A convolution kernel holds NaN or infinity.")
    per_axis = [geometry.stride, geometry.padding, geometry.dilation]
    per_axis += [geometry.output_padding] if geometry.output_padding else []
    per_axis += [geometry.input_size] if geometry.input_size is not None else []
    positive = min(*geometry.stride, *geometry.dilation, geometry.groups) >= 1
    if any(len(entry) != axes for entry in per_axis) or not positive or min(geometry.padding) < 0:
        raise TensorError(
            f"The geometry {geometry} does not fit a kernel of shape {tuple(kernel.shape)}.",
            remedy=f"Expected {axes} entries for each axis, stride, dilation and groups >= 1.",
        )
    if kernel.shape[0] % geometry.groups:
        raise TensorError(f"{kernel.shape[0]} channels do not split into {geometry.groups} groups.")
    if geometry.transposed and geometry.padding_mode != "zeros":
        raise TensorError(
            f"A transposed convolution with {geometry.padding_mode} padding is not supported.",
            remedy="Expected zero padding.",
        )
    if geometry.input_size is not None:
        _check_size(kernel, geometry, geometry.input_size)


def _check_size(kernel: torch.Tensor, geometry: ConvolutionGeometry, size: tuple[int, ...]) -> None:
    widest = {"reflect": min(n - p for n, p in zip(size, geometry.padding, strict=True)) - 1}
    widest["circular"] = widest["reflect"] + 1
    if min(size) < 1 or min(output_size(kernel, geometry)) < 1:
        raise TensorError(f"A map of size {size} is smaller than the kernel.")
    if widest.get(geometry.padding_mode, 0) < 0:
        raise TensorError(
            f"{geometry.padding_mode} padding of {geometry.padding} exceeds the map {size}."
        )


def of_groups(
    kernel: torch.Tensor, geometry: ConvolutionGeometry, index: torch.Tensor
) -> tuple[torch.Tensor, ConvolutionGeometry]:
    """Some groups alone: a block of the operator.

    Args:
        kernel: shape ``(o, i/groups, *k)``.
        geometry: how it is applied.
        index: int64, the groups.
    """
    blocks = kernel.reshape(geometry.groups, -1, *kernel.shape[1:])
    chosen = blocks[index].reshape(-1, *kernel.shape[1:])
    return chosen, replace(geometry, groups=int(index.numel()))


def output_size(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> tuple[int, ...]:
    """Spatial size of the output for the known ``input_size``."""
    size = geometry.input_size or ()
    reach = [t * (k - 1) for t, k in zip(geometry.dilation, kernel.shape[2:], strict=True)]
    if geometry.transposed:
        extra = geometry.output_padding or (0,) * len(size)
        parts = zip(size, geometry.stride, geometry.padding, reach, extra, strict=True)
        return tuple((n - 1) * s - 2 * p + r + e + 1 for n, s, p, r, e in parts)
    axes = zip(size, geometry.stride, geometry.padding, reach, strict=True)
    return tuple((n + 2 * p - r - 1) // s + 1 for n, s, p, r in axes)


def enclosing_torus(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> tuple[int, ...]:
    """Sizes N of a periodic map whose convolution the one on the known map is a part of.

    On one axis let the map have n cells, p of padding on each side, and r outputs. Output x reads
    the cells ``s x + t a - p``, from -p to at most ``n - 1 + p``. Let N be a multiple of s, at
    least ``n + p`` and at least ``s r``. No two of these cells, of which one is in the map, are
    equal mod N: a cell c outside the map would have to be N away from one in it, but ``c + N >=
    n`` for ``c >= -p``, and ``c - N < 0`` for ``c < n + p``. So where a row of the periodic
    operator meets a cell of the map, its entry is the one of the zero-padded operator; and as
    ``s r <= N`` the outputs are different rows of it. Hence the operator is a submatrix of the
    periodic one, and its norm is no larger.

    Reflect and replicate padding are a map that is padded first (`padding_factor_squared`) and
    then convolved without padding. A transposed convolution is taken as its adjoint, whose map is
    the output.
    """
    cells, rows = geometry.input_size or (), output_size(kernel, geometry)
    if geometry.transposed:
        cells, rows = rows, cells
    sides = 1 if geometry.padding_mode == "zeros" else 2
    axes = zip(cells, geometry.padding, geometry.stride, rows, strict=True)
    return tuple(s * max(-(-(n + sides * p) // s), r) for n, p, s, r in axes)


def padding_factor_squared(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> int:
    """Bound on ``||P||^2`` of the padding map P, so that ``||conv P|| <= ||conv|| ||P||``.

    P copies cells, so ``P^T P`` is diagonal and holds how often each cell is copied; over the
    axes these counts multiply. With p pixels on each side of n cells:

    - zeros: 1, whatever p is;
    - reflect (``p < n``): cell j is copied once itself, once on the left if ``1 <= j <= p``, once
      on the right if ``n-1-p <= j <= n-2``. At most 3, and at most 2 if ``n >= 2p + 2``;
    - replicate: the border cell ``p + 1`` times; a single cell ``2p + 1`` times;
    - circular: see `circular_repeats`. Here 1.

    With an unknown size it is the largest over all sizes.
    """
    sizes = geometry.input_size or (None,) * (kernel.ndim - 2)
    product = 1
    for size, pad in zip(sizes, geometry.padding, strict=True):
        if pad == 0:
            continue
        if geometry.padding_mode == "reflect":
            product *= 2 if size is not None and size >= 2 * pad + 2 else 3
        elif geometry.padding_mode == "replicate":
            product *= pad + 1 if size is not None and size >= 2 else 2 * pad + 1
    return product


def circular_repeats(kernel: torch.Tensor, geometry: ConvolutionGeometry, axis: int) -> int:
    """How often a row of the circulant matrix may occur in the circular convolution.

    Output x reads the circulant row ``s x mod n``, which recurs with period ``n / gcd(n, s)``,
    at least ``ceil(n / s)``. If ``2p <= t(k - 1)`` there are at most ``ceil(n / s)`` outputs;
    else, as ``p <= n``, at most three times as many.
    """
    if geometry.input_size is None:
        reach = geometry.dilation[axis] * (kernel.shape[axis + 2] - 1)
        return 1 if 2 * geometry.padding[axis] <= reach else 3
    size = geometry.input_size[axis]
    period = size // math.gcd(size, geometry.stride[axis])
    return -(-output_size(kernel, geometry)[axis] // period)


def repeats_squared(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> int:
    """By how much padding of any kind may multiply the square of the norm."""
    factor = padding_factor_squared(kernel, geometry)
    if geometry.padding_mode == "circular":
        axes = range(len(geometry.stride))
        factor *= math.prod(circular_repeats(kernel, geometry, axis) for axis in axes)
    return factor


def patch_factor_upper(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> float:
    """The c in ``||op(R)|| <= c ||R||_2`` for any kernel R as a matrix; rounded upward.

    Each group's kernel is the matrix ``(o/groups, i/groups * prod k)``, of a transposed one
    ``(in/groups, out/groups * prod k)``, and R the largest of them. With zero padding

        c^2 = prod_j ceil(k_j / (s_j / gcd(s_j, t_j))).

    Proof. ``op(R) x`` at every output place is the matrix R times the patch that the kernel reads
    there, so ``||op(R) x||^2 <= ||R||^2 sum |patch|^2``. A cell z is in one patch for every tap a
    and output x with ``s x + t a = z``; on an axis such taps satisfy ``t a = z mod s``, one residue
    class of a modulo ``s / gcd(s, t)``, and each of them fixes x. So a cell is counted at most
    ``ceil(k / (s / gcd(s, t)))`` times on an axis, and c^2 times in all. Zero padding adds nothing;
    other padding multiplies by the norm of its map. A transposed convolution is an adjoint, and
    groups act on channels of their own.

    What an SVD of the matrix cuts off at rank r has ``||R||_2 = sigma_{r+1}``, so every rank costs
    nothing once the singular values are known.

    Args:
        kernel: of the shape that R has; its entries do not matter.
        geometry: how it is applied.
    """
    squared = padding_factor_squared(kernel, geometry)
    axes = zip(kernel.shape[2:], geometry.stride, geometry.dilation, strict=True)
    for axis, (taps, step, spread) in enumerate(axes):
        whole = geometry.padding_mode == "circular"
        squared *= taps if whole else -(-taps // (step // math.gcd(step, spread)))
        squared *= circular_repeats(kernel, geometry, axis) if whole else 1
    return math.sqrt(squared) * SLACK


def transfer_taps(
    kernel: torch.Tensor, stride: tuple[int, ...], dilation: tuple[int, ...], groups: int
) -> torch.Tensor:
    """The polyphase form: a stride-1 convolution with the same operator norm on the lattice.

    On each axis let ``g = gcd(s, t)``. Outputs read only cells of one residue class mod g, so s
    and t may be divided by g; at stride 1 what is left of the dilation is a change of frequency,
    `frequency_step`, and falls away. Else tap a reads cell ``t a = s b + f`` with ``0 <= f < s``:
    phase f of the input becomes a channel of its own and b the new tap. Phases that no tap reads
    and border taps that are zero in every channel are dropped. At last the channels are turned so
    that the third dimension is the shorter one: ``K(w)^T`` has the singular values of ``K(w)``.

    Args:
        kernel: shape ``(o, i/groups, *k)``, any floating type.
        stride: one entry per axis.
        dilation: one entry per axis.
        groups: of the channels.

    Returns:
        float64, shape ``(groups, p, m, *q)`` with ``m <= p``; entries are those of the kernel.
    """
    wide = kernel.detach().to(device="cpu", dtype=torch.float64)
    taps = wide.reshape(groups, -1, *wide.shape[1:])
    for axis, (step, spread) in enumerate(zip(stride, dilation, strict=True)):
        common = math.gcd(step, spread)
        taps = _split_phases(taps, axis + 3, step // common, spread // common)
    for axis in range(3, taps.ndim):
        used = taps.abs().amax(dim=[d for d in range(taps.ndim) if d != axis]).nonzero().flatten()
        if used.numel():
            taps = taps.narrow(axis, int(used[0]), int(used[-1] - used[0]) + 1)
    return (taps.transpose(1, 2) if taps.shape[2] > taps.shape[1] else taps).contiguous()


def frequency_step(stride: int, dilation: int) -> int:
    """Frequency w of the map is frequency ``step * w`` of the polyphase form."""
    return dilation // stride if dilation % stride == 0 else 1


def _split_phases(taps: torch.Tensor, axis: int, stride: int, dilation: int) -> torch.Tensor:
    """Polyphase of one axis of ``(groups, o, i, *k)``; phases join the channels i."""
    if stride == 1:
        return taps
    count = taps.shape[axis]
    places = [divmod(dilation * a, stride) for a in range(count)]
    phases = sorted({phase for _, phase in places})
    moved = taps.movedim(axis, -1)
    length = places[-1][0] + 1
    split = moved.new_zeros(*moved.shape[:3], len(phases), *moved.shape[3:-1], length)
    for a, (tap, phase) in enumerate(places):
        split[:, :, :, phases.index(phase), ..., tap] = moved[..., a]
    return split.flatten(2, 3).movedim(-1, axis)


def source_cells(size: int, padded: int, geometry: ConvolutionGeometry, axis: int) -> list[int]:
    """Source cell of every padded cell of one axis; -1 where the padding holds zero.

    Args:
        size: cells n of the map on this axis.
        padded: number of padded cells wanted.
        geometry: its padding and padding mode.
        axis: which spatial axis.
    """
    pad, mode = geometry.padding[axis], geometry.padding_mode
    cells = range(-pad, padded - pad)
    if mode == "circular":
        return [c % size for c in cells]
    if mode == "replicate":
        return [min(max(c, 0), size - 1) for c in cells]
    if mode == "reflect":
        return [abs(c) if c < size else 2 * (size - 1) - c for c in cells]
    return [c if 0 <= c < size else -1 for c in cells]
