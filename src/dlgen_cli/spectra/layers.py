"""What the audit measures of one layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from dlgen_cli.errors import TensorError
from dlgen_cli.networks import EffectiveLayer, GraphLayer
from dlgen_cli.networks.layer_kinds import kind_of
from dlgen_cli.records import Interval, LayerSpectrum, Truncation
from dlgen_cli.spectra.convolution import TOLERANCE
from dlgen_cli.spectra.dense import singular_value_bounds, spectral_norm_bounds
from dlgen_cli.spectra.operator_norms import Geometry, error_factor, norm_of_weight
from dlgen_cli.spectra.products import product_norms
from dlgen_cli.spectra.residuals import residual
from dlgen_cli.spectra.rounding import SLACK, UNIT_ROUNDOFF, gamma
from dlgen_cli.spectra.small_matrices import Enclosures
from dlgen_cli.spectra.sums import root, row_norms, sum_of_squares

_CHUNK = 1 << 18  # entries that are compared at once


def measure_layer(
    effective: EffectiveLayer,
    *,
    geometry: Geometry,
    rank: int | None = None,
    norms_only: bool = False,
    tolerance: float = TOLERANCE,
    norm: Interval | None = None,
    device: torch.device | None = None,
    known: Enclosures | None = None,
) -> LayerSpectrum:
    """Measure one layer ``x -> W x + c``: dense, a convolution, a product, or diagonal.

    A convolution is truncated as the matrix ``(o, i/groups * prod k)``; its truncation errors are
    operator norms: ``c sigma_{r+1}`` with the factor of
    `dlgen_cli.spectra.geometry.patch_factor_upper`, and at ``rank`` the norm of the residual
    kernel itself. The rounding of folding widens both ends of a norm. Of a product only the
    singular values that its inner size allows are kept; it is never formed. The largest row of
    a table of embeddings is the norm that one-hot vectors see.

    Args:
        effective: the layer with the tensors that it really applies.
        geometry: whether stride, padding and groups of a convolution are known. Where they are
            assumed, the norm is that of the largest map, and has no lower end but 0.
        rank: report the truncation error at this rank too.
        norms_only: leave out singular values and truncation errors, which cost several times as
            much for a large matrix; ``rank`` must be None then.
        tolerance: relative width of a convolution's bracket.
        norm: encloses the operator norm of the weight, where that is known: see `scaled_norm`.
        device: where singular values are computed; convolutions stay on the CPU.
        known: of the weight, a matrix, where it was measured together with others.

    Returns:
        Norms and tails with their directions.

    Raises:
        TensorError: a norm leaves the range of floats; the tensor is named.
    """
    layer, weight, bias = effective.layer, effective.weight, effective.bias
    if effective.factors is not None:
        return _measure_product(effective, effective.factors, rank)
    frobenius = root(sum_of_squares(weight) if known is None else known.sum_of_squares)
    values = _values(effective, known, device, norms_only=norms_only)

    def known_norm(part: torch.Tensor) -> Interval:
        return values[0] if part is weight else spectral_norm_bounds(part, device)

    factor = error_factor(layer, weight)
    folding = effective.rounding_upper * frobenius.upper * factor
    if norm is None and _is_matrix_at_each_place(layer):
        norm = values[0]
    elif norm is None:
        norm = norm_of_weight(
            layer, weight, geometry=geometry, tolerance=tolerance, matrix_norm=known_norm
        )
    norm = widened(norm, folding)
    if layer.stride and geometry == "assumed":  # groups, stride and padding may make it smaller
        norm = replace(norm, lower=0.0)
    frobenius = widened(frobenius, effective.rounding_upper * frobenius.upper)
    bias_norm = _bias_norm_upper(effective)
    _require_finite(layer.name, norm.upper, frobenius.upper, bias_norm)
    tails = () if norms_only else _tails(values, norm, factor, folding)
    if rank is not None and rank < len(values) and layer.stride:
        sharp = _sharp_tail(effective, rank, geometry, tolerance)
        tails = (*tails[:rank], min(tails[rank], sharp), *tails[rank + 1 :])
    return LayerSpectrum(
        name=layer.name,
        kind=layer.kind,
        shape=layer.weight_shape,
        parameters=effective.stored_entries or weight.numel(),
        spectral_norm=norm,
        frobenius_norm=frobenius,
        stable_rank=_stable_rank(frobenius, values[0] if values else norm),
        truncation_errors_upper=tails,
        truncation=_truncation(tails, norm, rank, values if layer.stride else None)
        if rank is not None and tails
        else None,
        singular_values=() if norms_only else tuple(values),
        bias_norm_upper=bias_norm,
        bias_parameters=bias.numel() if bias is not None else 0,
        geometry=geometry if layer.stride else None,
        reshaped_norm=widened(values[0], effective.rounding_upper * frobenius.upper)
        if layer.stride
        else None,
        row_norm=_largest_row(effective) if kind_of(layer).is_table else None,
        note=layer.note,
    )


def _values(
    effective: EffectiveLayer,
    known: Enclosures | None,
    device: torch.device | None,
    *,
    norms_only: bool,
) -> Sequence[Interval]:
    """Singular values of the weight as a matrix, or the largest alone; none of a diagonal map."""
    if known is not None:
        return known.singular_values[:1] if norms_only else known.singular_values
    if kind_of(effective.layer).is_diagonal:
        return ()
    matrix = effective.weight.reshape(effective.weight.shape[0], -1)
    if norms_only:
        return (spectral_norm_bounds(matrix, device),)
    return singular_value_bounds(matrix, device)


def _bias_norm_upper(effective: EffectiveLayer) -> float:
    """Of ``||c||_2`` over the whole output."""
    if effective.bias is None:
        return 0.0
    own = math.sqrt(sum_of_squares(effective.bias).upper) + effective.bias_rounding_upper
    return own * math.sqrt(effective.layer.positions) * SLACK


def _measure_product(
    effective: EffectiveLayer, factors: tuple[torch.Tensor, torch.Tensor], rank: int | None
) -> LayerSpectrum:
    layer = effective.layer
    left, right = factors
    found = product_norms(left, right)
    rounding = 0.0
    if effective.rounding_upper:
        magnitude = root(sum_of_squares(left)).upper * root(sum_of_squares(right)).upper
        rounding = effective.rounding_upper * magnitude * SLACK
    values = tuple(widened(value, rounding) for value in found.singular_values)
    frobenius = widened(found.frobenius_norm, rounding)
    _require_finite(layer.name, values[0].upper, frobenius.upper)
    tails = _tails(values, values[0], 1.0, 0.0)
    return LayerSpectrum(
        name=layer.name,
        kind=layer.kind,
        shape=layer.weight_shape,
        parameters=left.numel() + right.numel(),
        spectral_norm=values[0],
        frobenius_norm=frobenius,
        stable_rank=_stable_rank(frobenius, values[0]),
        truncation_errors_upper=tails,
        truncation=None if rank is None else _truncation(tails, values[0], rank, None),
        singular_values=values,
        note=layer.note,
    )


def _require_finite(name: str, *numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise TensorError(
            f"The norm of {name} exceeds the range of float64.",
            remedy="Check the checkpoint: weights of this size are no trained network's.",
        )


def _largest_row(effective: EffectiveLayer) -> Interval:
    """The largest Euclidean norm of a row, enclosed."""
    weight = effective.weight
    chosen = int(row_norms(weight).argmax())
    largest = root(sum_of_squares(weight[chosen]))
    error = gamma(weight.shape[1] + 4)  # of the norms that chose the row
    lost = 2.0**-500 if largest.upper else 0.0  # squares of the other rows that underflowed
    norm = Interval(lower=largest.lower, upper=largest.upper * (1 + 3 * error) * SLACK + lost)
    return widened(norm, effective.rounding_upper * norm.upper)


def widened(norm: Interval, error: float) -> Interval:
    """A norm that may have moved by up to ``error``; unchanged by none."""
    if error == 0.0:
        return norm
    return Interval(
        lower=max(0.0, norm.lower - error * SLACK) / SLACK, upper=(norm.upper + error) * SLACK
    )


def scaled_norm(norm: Interval, of: EffectiveLayer, weight: torch.Tensor) -> Interval | None:
    """The operator norm of a weight that is another one times a number; None where it is not.

    Batch normalization that treats all channels alike is folded into such a weight. Entries may
    differ by roundings: with ``|W' - c W| <= 8 u |W'|`` entrywise the norms of W' and c W are at
    most ``8 u ||W'||_F`` apart, times the factor by which a convolution meets its errors.

    Args:
        norm: encloses that of W.
        of: the layer with the weight W.
        weight: W', of the same shape.
    """
    if of.factors is not None or of.weight.shape != weight.shape or not of.weight.numel():
        return None
    one, other = of.weight.flatten(), weight.flatten()
    place = one.to(torch.float64).abs().argmax()
    most = float(one[place])
    factor = float(other[place]) / most if most else 0.0
    for some, moved in zip(torch.split(one, _CHUNK), torch.split(other, _CHUNK), strict=True):
        scaled = moved.to(torch.float64)
        apart = (some.to(torch.float64) * factor).sub_(scaled).abs_()
        if not bool((apart <= scaled.abs().mul_(4 * UNIT_ROUNDOFF)).all()):
            return None
    error = 8 * UNIT_ROUNDOFF * root(sum_of_squares(other)).upper * error_factor(of.layer, weight)
    times = Interval(lower=norm.lower * abs(factor) / SLACK, upper=norm.upper * abs(factor) * SLACK)
    lost = math.ulp(0.0) * weight.numel()  # of entries that underflow
    return widened(times, error * SLACK + lost)


def operator_norm(
    effective: EffectiveLayer,
    *,
    geometry: Geometry,
    tolerance: float = TOLERANCE,
    norm: Interval | None = None,
) -> Interval:
    """Enclose the operator norm of a layer alone: cheaper than `measure_layer`.

    Args:
        effective: the layer with the tensors that it really applies.
        geometry: as for `measure_layer`.
        tolerance: as for `measure_layer`.
        norm: as for `measure_layer`.

    Returns:
        With the rounding of folding in the upper end.
    """
    layer, weight = effective.layer, effective.weight
    factor = error_factor(layer, weight)
    if norm is None and _is_matrix_at_each_place(layer):
        norm = spectral_norm_bounds(weight.flatten(1))
    elif norm is None:
        norm = norm_of_weight(
            layer, weight, geometry=geometry, tolerance=tolerance, matrix_norm=spectral_norm_bounds
        )
    return widened(norm, effective.rounding_upper * root(sum_of_squares(weight)).upper * factor)


def _is_matrix_at_each_place(layer: GraphLayer) -> bool:
    """Whether a kernel is one matrix on patches that do not overlap: then their norms are equal."""
    axes = zip(layer.weight_shape[2:], layer.stride, layer.dilation, strict=False)
    apart = bool(layer.stride) and all(t * (k - 1) < s for k, s, t in axes)
    return apart and layer.groups == 1 and not any(layer.padding)


def _tails(
    values: Sequence[Interval], norm: Interval, factor: float, folding: float
) -> tuple[float, ...]:
    """Entry r bounds the operator norm of what rank r cuts off; none for a diagonal map."""
    if not values:
        return ()
    cut = [(value.upper * factor + folding) * SLACK for value in values]
    return (norm.upper, *cut[1:], 0.0)


def _stable_rank(frobenius: Interval, norm: Interval) -> float | None:
    if norm.upper == 0:
        return None
    ratio = (frobenius.lower + frobenius.upper) / (norm.lower + norm.upper)
    return ratio * ratio


def _sharp_tail(
    effective: EffectiveLayer, rank: int, geometry: Geometry, tolerance: float
) -> float:
    """Operator norm, upper, of a kernel minus a kernel of rank r: the computed truncation."""
    weight = effective.weight.to(torch.float64)
    left, values, right_t = torch.linalg.svd(weight.flatten(start_dim=1), full_matrices=False)
    scaled, rows = left[:, :rank] * values[:rank], right_t[:rank]
    rest = residual(
        effective,
        (scaled @ rows).reshape(weight.shape),
        (scaled.abs() @ rows.abs()).reshape(weight.shape),
        products=rank,
    )
    return rest.norm_upper(geometry=geometry, tolerance=tolerance)


def _truncation(
    tails: tuple[float, ...], norm: Interval, rank: int, reshaped: Sequence[Interval] | None
) -> Truncation:
    error = tails[min(rank, len(tails) - 1)]
    relative = None if norm.lower == 0 else error / norm.lower * SLACK
    cut = None if reshaped is None else reshaped[rank].upper if rank < len(reshaped) else 0.0
    return Truncation(
        rank=rank,
        error_upper=error,
        relative_error_upper=relative,
        reshaped_error_upper=cut,
    )
