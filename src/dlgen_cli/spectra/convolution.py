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
from collections.abc import Sequence
from dataclasses import replace

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.dense import singular_value_bounds, spectral_norm_bounds
from dlgen_cli.spectra.finite_maps import (
    block_shape,
    dense_blocks,
    dense_operator,
    finite_map_lower,
)
from dlgen_cli.spectra.geometry import (
    ConvolutionGeometry,
    check_geometry,
    circular_repeats,
    enclosing_torus,
    frequency_step,
    output_size,
    padding_factor_squared,
    transfer_taps,
)
from dlgen_cli.spectra.rounding import SLACK, gamma
from dlgen_cli.spectra.scaling import with_exponent, without_exponent
from dlgen_cli.spectra.supremum import (
    ABOVE_CELLS,
    Floor,
    flat_cells,
    largest_of_all,
    lattice_supremum,
)
from dlgen_cli.spectra.transfer import Frequencies, TransferFamily

__all__ = [
    "ConvolutionGeometry",
    "convolution_norm",
    "dense_operator",
    "patch_factor_upper",
    "reshaped_norm",
    "truncation_errors_upper",
]

#: Relative width of a bracket where no other is asked for.
TOLERANCE = 0.02
_AIMED = 0.008  # tolerances from here on are aimed at from the lower end of a known map
_EXACT = 1e-12  # relative width where finitely many matrices decide
_NARROW_ORDER = 16  # kernels with at most so many channels on a side are measured better
_NARROW_TOLERANCE = 2e-4
_DENSE_ENTRIES = 1 << 22  # of all blocks together: 32 MB
_DENSE_WORK = 3e9  # entries times the shorter side
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
    if geometry.input_size is None or _is_one_patch(kernel, geometry):
        return _lattice_norm(kernel, geometry, tolerance)
    if _dense_is_small(kernel, geometry):
        return _dense_norm(kernel, geometry)
    if _is_circulant(kernel, geometry):
        periodic = _periodic_norm(kernel, geometry, tolerance)
        if periodic is not None:
            return periodic
    lower = 0.0
    factor = math.sqrt(_repeats(kernel, geometry)) * SLACK

    def floor(enough: float) -> float:
        nonlocal lower
        lower = finite_map_lower(kernel, geometry, enough=enough * factor, tolerance=tolerance)
        return lower / factor / SLACK

    aim = floor if tolerance >= _AIMED and not upper_only else None
    found = _periodic_norm(kernel, geometry, tolerance, aim)
    upper = (found or _lattice_norm(kernel, geometry, tolerance, aim)).upper
    if not (lower or upper_only):
        floor(math.inf)
    return Interval(lower=min(upper, lower), upper=upper)


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
    family = _family(taps)
    asked = _tolerance_of(family.order, tolerance) if family.degrees else _EXACT
    return lattice_supremum(family, asked, floor if asked >= _AIMED else None)


def _family(taps: torch.Tensor) -> TransferFamily:
    kept = [size for size in taps.shape[3:] if size > 1]
    return TransferFamily(taps.reshape(*taps.shape[:3], *kept))


def _lattice_norm(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    tolerance: float,
    floor: Floor | None = None,
) -> Interval:
    """The supremum over all map sizes; its upper end bounds every size.

    A circular convolution with a stride that does not divide the map reads rows of the circulant
    matrix at stride 1, which then bounds it.
    """
    stride = geometry.stride
    found = _supremum(kernel, geometry, tolerance, floor)
    upper = found.upper
    if geometry.padding_mode == "circular" and max(stride) > 1:
        whole = replace(geometry, stride=(1,) * len(stride))
        upper = _supremum(kernel, whole, tolerance).upper
    factor = math.sqrt(_repeats(kernel, geometry)) * SLACK
    return Interval(lower=found.lower, upper=upper * factor)


def _repeats(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> int:
    """By how much padding may multiply the square of the norm."""
    factor = padding_factor_squared(kernel, geometry)
    if geometry.padding_mode == "circular":
        axes = range(len(geometry.stride))
        factor *= math.prod(circular_repeats(kernel, geometry, axis) for axis in axes)
    return factor


def _is_circulant(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> bool:
    """Whether the operator is a periodic one, of which every row occurs, and once."""
    size = geometry.input_size or ()
    rows = output_size(kernel, geometry)
    return geometry.padding_mode == "circular" and all(
        n % s == 0 and r == n // s for n, s, r in zip(size, geometry.stride, rows, strict=True)
    )


def _periodic_norm(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    tolerance: float,
    floor: Floor | None = None,
) -> Interval | None:
    """The periodic convolution that the known map's is a part of; None where others are cheaper.

    With circular padding it is on the map itself, else on `enclosing_torus`, which the stride
    divides. With stride s on n cells the outputs read from places ``s x mod n``, multiples of
    ``g = gcd(n, s)``: the operator keeps some rows of the one of stride g, whose polyphase form has
    n/g frequencies. Upper bounds the operator on the map.
    """
    circular = geometry.padding_mode == "circular"
    size = (geometry.input_size or ()) if circular else enclosing_torus(kernel, geometry)
    stride = tuple(math.gcd(n, s) for n, s in zip(size, geometry.stride, strict=True))
    taps = transfer_taps(kernel, stride, geometry.dilation, geometry.groups)
    axes = [j for j, q in enumerate(taps.shape[3:]) if q > 1]
    grid = [size[j] // stride[j] for j in axes]
    degrees = tuple(taps.shape[3 + j] - 1 for j in axes)
    order, groups = taps.shape[2], taps.shape[0]
    asked = _tolerance_of(order, tolerance)
    floor = floor if asked >= _AIMED else None
    others = 2 * flat_cells(degrees, asked if floor is None else ABOVE_CELLS * asked)
    if not circular and math.prod(grid) > others:
        return None
    if circular and math.prod(grid) * groups * (order**3 + 1e4) > _GRID_WORK:
        return None
    steps = [frequency_step(stride[j], geometry.dilation[j]) for j in axes]
    at = _grid_frequencies(grid, steps, groups)
    exactly = _EXACT if order <= _NARROW_ORDER else tolerance
    found = largest_of_all(_family(taps), at, exactly, floor)
    factor = math.sqrt(_repeats(kernel, geometry)) * SLACK
    return Interval(lower=found.lower, upper=found.upper * factor)


def _grid_frequencies(grid: Sequence[int], steps: Sequence[int], groups: int) -> Frequencies:
    """The frequencies ``2 pi step j / n`` on every axis, one of each pair ``w, -w``."""
    sizes = torch.tensor(list(grid), dtype=torch.int64)
    weights = torch.tensor([math.prod(grid[:j]) for j in range(len(grid))], dtype=torch.int64)
    places = torch.zeros(1, 0, dtype=torch.int64)
    if grid:
        places = torch.cartesian_prod(*map(torch.arange, grid)).reshape(-1, len(grid))
        mirrored = (-places).remainder(sizes)
        places = places[(places @ weights) <= (mirrored @ weights)]
        places = (places * torch.tensor(list(steps))).remainder(sizes)
    group = torch.arange(groups).repeat_interleave(len(places))
    return Frequencies(group, places.repeat(groups, 1), tuple(grid))


def _dense_is_small(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> bool:
    groups, rows, columns = block_shape(kernel, geometry)
    entries = groups * rows * columns
    return entries <= _DENSE_ENTRIES and entries * min(rows, columns) <= _DENSE_WORK


def _dense_norm(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> Interval:
    """Norm of the explicit matrix."""
    blocks, exponent = without_exponent(dense_blocks(kernel, geometry))
    rounding = 0.0
    if geometry.padding_mode != "zeros":  # entries are sums of up to all taps
        magnitude = float(dense_blocks(kernel.abs(), geometry).norm())
        rounding = gamma(math.prod(kernel.shape[2:]) + 8) * magnitude * (1 + gamma(blocks.numel()))
    if not bool(blocks.any()):
        return Interval(lower=0.0, upper=rounding)
    tall = blocks.mT if blocks.shape[2] > blocks.shape[1] else blocks
    found = lattice_supremum(TransferFamily(tall.contiguous()), _EXACT)
    return Interval(
        lower=max(0.0, (with_exponent(found.lower, exponent, toward=0.0) - rounding) / SLACK),
        upper=(with_exponent(found.upper, exponent, toward=math.inf) + rounding) * SLACK,
    )


def reshaped_norm(kernel: torch.Tensor) -> Interval:
    """Enclose the spectral norm of the kernel as a matrix ``(o, i/groups * prod k)``.

    It is not the norm of the operator; see `truncation_errors_upper` for how they compare.

    Args:
        kernel: shape ``(o, i/groups, *k)``, floating point, finite.
    """
    return spectral_norm_bounds(kernel.detach().reshape(kernel.shape[0], -1))


def truncation_errors_upper(
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    ranks: Sequence[int],
    *,
    sharp: Sequence[int] = (),
    tolerance: float = TOLERANCE,
) -> list[float]:
    """Upper bounds on the operator norm of what a rank-r truncation of the kernel cuts off.

    Each group's kernel is the matrix ``M = (o/groups, i/groups * prod k)``, of a transposed one
    ``(in/groups, out/groups * prod k)``, truncated by SVD to ``min(r, its rank)``. Then

        ||op(R)|| <= c ||R||_2,    c^2 = prod_j ceil(k_j / (s_j / gcd(s_j, t_j))).

    Proof. ``op(R) x`` at every output place is the matrix R times the patch that the kernel reads
    there, so ``||op(R) x||^2 <= ||R||^2 sum |patch|^2``. A cell z is in one patch for every tap a
    and output x with ``s x + t a = z``; on an axis such taps satisfy ``t a = z mod s``, one residue
    class of a modulo ``s / gcd(s, t)``, and each of them fixes x. So a cell is counted at most
    ``ceil(k / (s / gcd(s, t)))`` times on an axis, and c^2 times in all. Zero padding adds nothing;
    other padding multiplies by the norm of its map. A transposed convolution is an adjoint, and
    groups act on channels of their own. With ``||R||_2 = sigma_{r+1}(M)`` every rank costs nothing
    once the singular values are known.

    The ranks in ``sharp`` get the norm of the residual kernel on the lattice too, and the smaller
    of both. That residual is formed from the computed factors, so it belongs to the rank-r kernel
    which these factors multiply to; either way there is a kernel of rank r this near.

    Args:
        kernel: as for `convolution_norm`.
        geometry: how it is applied.
        ranks: r for each group, 0 or more.
        sharp: those of the ranks to bound sharply; each costs as much as a norm.
        tolerance: of those norms, as for `convolution_norm`.

    Returns:
        One bound for every entry of ``ranks``.
    """
    check_geometry(kernel, geometry)
    if not bool(kernel.any()):
        return [0.0] * len(ranks)
    scaled, exponent = without_exponent(kernel)
    matrices = scaled.reshape(geometry.groups, scaled.shape[0] // geometry.groups, -1)
    values = [singular_value_bounds(matrix) for matrix in matrices]
    factor = patch_factor_upper(scaled, geometry)
    errors = []
    for rank in ranks:
        error = max(found[rank].upper if rank < len(found) else 0.0 for found in values) * factor
        if rank in sharp and error:
            error = min(error * SLACK, _residual_norm(matrices, scaled, geometry, rank, tolerance))
        errors.append(with_exponent(error * SLACK, exponent, toward=math.inf) if error else 0.0)
    return errors


def patch_factor_upper(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> float:
    """The c in ``||op(R)|| <= c ||R||_2``, R any kernel reshaped to a matrix; rounded upward.

    The proof stands at `truncation_errors_upper`. It includes the norm of the padding map.

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


def _residual_norm(
    matrices: torch.Tensor,
    kernel: torch.Tensor,
    geometry: ConvolutionGeometry,
    rank: int,
    tolerance: float,
) -> float:
    """Operator norm, upper, of the kernel minus the product of its leading singular factors."""
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    left = left[..., :rank] * values[:, None, :rank]
    residual = matrices - left @ right[:, :rank]
    magnitude = left.abs() @ right[:, :rank].abs() + residual.abs()
    rounding = gamma(rank + 8) * float(magnitude.norm()) * (1 + gamma(magnitude.numel()))
    residual = residual.reshape(kernel.shape)
    found = convolution_norm(residual, geometry, tolerance, upper_only=True).upper
    return (found + rounding * patch_factor_upper(kernel, geometry)) * SLACK
