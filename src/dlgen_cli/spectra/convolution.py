"""Operator norms of convolutions, enclosed.

The zero-padded convolution on a map of any size is a submatrix of the convolution on the infinite
lattice, whose norm is the supremum over frequencies of ``||K(w)||``, K the transfer matrix of the
polyphase form (`geometry.transfer_taps`), and the largest over groups (`supremum`). The norms on
growing maps tend to it, so it is also the supremum over all map sizes. A transposed convolution
is the adjoint of the convolution with the same stored weight. Circular padding has the
frequencies of its own grid. Reflect and replicate padding multiply by the norm of the padding map
(`geometry.padding_factor_squared`).

On a known map the zero-padded convolution is also a submatrix of the periodic one on a torus that
is a little larger (`geometry.enclosing_torus`). Its norm is the largest ``||K(w)||`` over the
frequencies of that torus alone, so a small map needs few of them, and no correction between them:
34 for a map of 7 x 7. Where the map is smaller still, the explicit matrix decides.

Everything is computed on the CPU, after scaling by a power of two.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.block_diagonal import block_diagonal_norm
from dlgen_cli.spectra.depthwise import ChannelNorms, channel_norms
from dlgen_cli.spectra.finite_maps import Wave, block_shape, dense_blocks, finite_map_lower
from dlgen_cli.spectra.geometry import (
    ConvolutionGeometry,
    check_geometry,
    frequency_step,
    of_groups,
    repeats_squared,
    transfer_taps,
)
from dlgen_cli.spectra.periodic import PeriodicForm, is_circulant, without_single_taps
from dlgen_cli.spectra.rounding import SLACK, gamma
from dlgen_cli.spectra.scaling import with_exponent, without_exponent
from dlgen_cli.spectra.supremum import (
    ABOVE_CELLS,
    Floor,
    flat_cells,
    largest_of_all,
    lattice_supremum,
)
from dlgen_cli.spectra.transfer import Frequencies, TransferFamily, image_of

#: Relative width of a bracket where no other is asked for.
TOLERANCE = 0.02
_AIMED = 0.008  # tolerances from here on are aimed at from the lower end of a known map
_EXACT = 1e-12  # relative width where finitely many matrices decide
_NARROW_ORDER = 16  # kernels with at most so many channels on a side are measured better
_NARROW_TOLERANCE = 2e-4
_DENSE_ENTRIES = 1 << 22  # of all blocks together: 32 MB
_DENSE_WORK = 3e9  # entries times the shorter side
_CHEAP_WORK = 1e8  # the same where the explicit matrices cost little beside all else
_FEW_GROUPS = 4  # groups of a depthwise convolution that a lower bound looks at
_GRID_WORK = 6e10  # frequencies of a circular map times order cubed


def convolution_norm(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    tolerance: float = TOLERANCE,
    *,
    upper_only: bool = False,
) -> Interval:
    """Enclose the operator norm of a convolution.

    Args:
        kernel: shape ``(o, i/groups, *k)``, one to three axes; transposed
            ``(in, out/groups, *k)``. Floating point, finite.
        geometry: how it is applied. With ``input_size`` the operator is the one on that map;
            without, the norm is the supremum over all map sizes.
        tolerance: relative width of the bracket that is aimed at, above 0. Kernels with few
            channels are measured better.
        upper_only: spend nothing on the lower end, which may then be 0.

    Returns:
        ``lower <= ||A|| <= upper``. On the lattice the ends are within the tolerance of each
        other, or wider where a very wide kernel with a flat spectrum exhausts the work budget. On
        a known map that is too large for its explicit matrix, upper is that of the lattice or of
        a torus, within the tolerance of either.

    Raises:
        TensorError: the kernel or the geometry is refused; the message says why.
    """
    check_geometry(kernel, geometry)
    if not bool(kernel.any()):
        return Interval(lower=0.0, upper=0.0)
    scaled, exponent = without_exponent(kernel)
    found = _scaled_norm(scaled, geometry, tolerance, upper_only=upper_only)
    return Interval(
        lower=with_exponent(found.lower, exponent, toward=0.0),
        upper=with_exponent(found.upper, exponent, toward=math.inf),
    )


def _scaled_norm(
    kernel: torch.Tensor, geometry: ConvolutionGeometry, tolerance: float, *, upper_only: bool
) -> Interval:
    """`convolution_norm` of a kernel with entries below 1, one of them at least 1/2."""
    channels = channel_norms(kernel, geometry)
    if geometry.input_size is None or _is_one_patch(kernel, geometry):
        return _lattice_norm(kernel, geometry, tolerance, channels=channels)
    if channels is not None:
        return _depthwise_norm(kernel, geometry, tolerance, channels)
    if _dense_is_small(kernel, geometry):
        return _dense_norm(kernel, geometry)
    if is_circulant(kernel, geometry):
        periodic = _periodic_norm(kernel, geometry, tolerance)
        if periodic is not None:
            return periodic
    lower = 0.0
    factor = math.sqrt(repeats_squared(kernel, geometry)) * SLACK

    def floor(
        enough: float, family: TransferFamily, at: Frequencies, vector: torch.Tensor
    ) -> float:
        nonlocal lower
        wave = _wave(geometry, kernel.shape, family, at, vector)
        lower = finite_map_lower(
            kernel, geometry, enough=enough * factor, tolerance=tolerance, wave=wave
        )
        return lower / factor / SLACK

    aim = floor if tolerance >= _AIMED and not upper_only else None
    found = _periodic_norm(kernel, geometry, tolerance, aim)
    upper = (found or _lattice_norm(kernel, geometry, tolerance, aim)).upper
    if not (lower or upper_only):
        lower = finite_map_lower(kernel, geometry, tolerance=tolerance)
    return Interval(lower=min(upper, lower), upper=upper)


def _depthwise_norm(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    tolerance: float,
    channels: ChannelNorms,
) -> Interval:
    """The norm on a known map of a convolution that acts on each channel alone.

    A lower bound on the largest groups leaves few that may hold the norm. Their explicit matrices
    decide where these are small, or where the bounds of the groups leave too much open.
    """
    upper = float(channels.upper.max())
    if channels.is_periodic and is_circulant(kernel, geometry):
        return Interval(lower=float(channels.reached.max()), upper=upper)
    leading = channels.contenders(0.0)
    first = of_groups(kernel, geometry, leading[:1])
    if _dense_work(*first) <= _CHEAP_WORK and _dense_is_small(*first):
        lower = _dense_norm(*first).lower
    else:
        few = of_groups(kernel, geometry, leading[:_FEW_GROUPS])
        lower = finite_map_lower(*few, tolerance=tolerance)
    left = of_groups(kernel, geometry, channels.contenders(lower))
    is_open = upper > lower * (1 + tolerance)
    if _dense_is_small(*left) and (is_open or _dense_work(*left) <= _CHEAP_WORK):
        return _dense_norm(*left)
    if not channels.is_periodic:
        upper = min(upper, _lattice_norm(kernel, geometry, tolerance, channels=channels).upper)
    return Interval(lower=min(upper, lower), upper=upper)


def _wave(
    geometry: ConvolutionGeometry,
    shape: torch.Size,
    family: TransferFamily,
    at: Frequencies,
    vector: torch.Tensor,
) -> Wave | None:
    """The outputs that belong to a frequency and a vector of the polyphase form.

    None where that takes more: of several groups, with padding other than zeros, or where an axis
    has one tap and so any frequency.
    """
    numerators = at.numerator[0].tolist()
    if geometry.groups > 1 or geometry.padding_mode != "zeros":
        return None
    if len(numerators) < len(shape) - 2:
        return None
    # turned taps have K(w)^T v = s u, so K(w)^H conj(v) = s conj(u)
    is_turned = family.taps.shape[1] != shape[0]
    outputs = vector.conj() if is_turned else image_of(family, at, vector)
    axes = zip(numerators, at.denominator, geometry.stride, geometry.dilation, strict=True)
    frequency = tuple(
        2 * math.pi * numerator / denominator / frequency_step(stride, dilation)
        for numerator, denominator, stride, dilation in axes
    )
    return Wave(vector=outputs, frequency=frequency)


def _is_one_patch(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> bool:
    """Whether patches do not overlap and lie in the map: then every size has the same norm."""
    axes = zip(kernel.shape[2:], geometry.stride, geometry.dilation, strict=True)
    apart = all(t * (k - 1) < s for k, s, t in axes)
    return apart and not any(geometry.padding)


def _tolerance_of(order: int, tolerance: float) -> float:
    """Kernels with few channels cost little, so they are measured better."""
    return min(tolerance, _NARROW_TOLERANCE) if order <= _NARROW_ORDER else tolerance


def _supremum(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    tolerance: float,
    floor: Floor | None = None,
) -> Interval:
    taps = transfer_taps(kernel, geometry.stride, geometry.dilation, geometry.groups)
    taps = without_single_taps(taps)
    if taps.ndim == 3:
        return block_diagonal_norm(taps)
    family = TransferFamily(taps)
    asked = _tolerance_of(family.order, tolerance)
    return lattice_supremum(family, asked, floor if asked >= _AIMED else None)


def _lattice_norm(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    tolerance: float,
    floor: Floor | None = None,
    *,
    channels: ChannelNorms | None = None,
) -> Interval:
    """The supremum over all map sizes; its upper end bounds every size.

    A circular convolution with a stride that does not divide the map reads rows of the circulant
    matrix at stride 1, which then bounds it.
    """
    if channels is not None and not channels.is_periodic:
        lower = float(channels.reached.max())
        kernel, geometry = of_groups(kernel, geometry, channels.contenders(lower))
    stride = geometry.stride
    found = _supremum(kernel, geometry, tolerance, floor)
    upper = found.upper
    if geometry.padding_mode == "circular" and max(stride) > 1:
        whole = replace(geometry, stride=(1,) * len(stride))
        upper = _supremum(kernel, whole, tolerance).upper
    factor = math.sqrt(repeats_squared(kernel, geometry)) * SLACK
    return Interval(lower=found.lower, upper=upper * factor)


def _periodic_norm(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    tolerance: float,
    floor: Floor | None = None,
) -> Interval | None:
    """The periodic convolution that the known map's is a part of; None where others are cheaper."""
    circular = geometry.padding_mode == "circular"
    form = PeriodicForm.of(kernel, geometry)
    groups, order = form.taps.shape[0], form.taps.shape[2]
    asked = _tolerance_of(order, tolerance)
    floor = floor if asked >= _AIMED else None
    others = 2 * flat_cells(form.degrees, asked if floor is None else ABOVE_CELLS * asked)
    points = math.prod(form.points)
    if not circular and points > others:
        return None
    if circular and points * groups * (order**3 + 1e4) > _GRID_WORK:
        return None
    exactly = _EXACT if order <= _NARROW_ORDER else tolerance
    found = largest_of_all(TransferFamily(form.taps), form.frequencies(groups), exactly, floor)
    factor = math.sqrt(repeats_squared(kernel, geometry)) * SLACK
    return Interval(lower=found.lower, upper=found.upper * factor)


def _dense_is_small(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> bool:
    entries = math.prod(block_shape(kernel, geometry))
    return entries <= _DENSE_ENTRIES and _dense_work(kernel, geometry) <= _DENSE_WORK


def _dense_work(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> float:
    """Entries of the explicit matrix times the shorter side of a group's."""
    groups, rows, columns = block_shape(kernel, geometry)
    return groups * rows * columns * min(rows, columns)


def _dense_norm(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> Interval:
    """Norm of the explicit matrix."""
    blocks, exponent = without_exponent(dense_blocks(kernel, geometry))
    rounding = 0.0
    if geometry.padding_mode != "zeros":  # entries are sums of up to all taps
        magnitude = float(dense_blocks(kernel.abs(), geometry).norm())
        rounding = gamma(math.prod(kernel.shape[2:]) + 8) * magnitude * (1 + gamma(blocks.numel()))
    if not bool(blocks.any()):
        return Interval(lower=0.0, upper=rounding)
    found = block_diagonal_norm(blocks)
    return Interval(
        lower=max(0.0, (with_exponent(found.lower, exponent, toward=0.0) - rounding) / SLACK),
        upper=(with_exponent(found.upper, exponent, toward=math.inf) + rounding) * SLACK,
    )
