"""What the audit measures of one layer."""

from __future__ import annotations

import math

import torch

from dlgen_cli.errors import TensorError
from dlgen_cli.networks import LinearLayer
from dlgen_cli.records import Interval, LayerSpectrum, Truncation
from dlgen_cli.spectra.dense import singular_value_bounds
from dlgen_cli.spectra.rounding import SLACK
from dlgen_cli.spectra.sums import sum_of_squares


def measure_layer(
    layer: LinearLayer,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    rank: int | None = None,
) -> LayerSpectrum:
    """Measure one dense layer ``x -> W x + c``.

    Args:
        layer: its names and shapes.
        weight: shape ``(o, i)``, floating point, finite.
        bias: shape ``(o,)``, or None.
        rank: report the truncation error at this rank too.

    Returns:
        Norms and tails with their directions.

    Raises:
        TensorError: a norm leaves the range of floats; the tensor is named.
    """
    values = singular_value_bounds(weight)
    frobenius = _root(sum_of_squares(weight))
    bias_norm = _root(sum_of_squares(bias)).upper if bias is not None else 0.0
    if not all(map(math.isfinite, (values[0].upper, frobenius.upper, bias_norm))):
        raise TensorError(
            f"The norm of {layer.name} exceeds the range of float64.",
            remedy="Check the checkpoint: weights of this size are no trained network's.",
        )
    norm = values[0]
    tails = (*(value.upper for value in values), 0.0)
    return LayerSpectrum(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        parameters=weight.numel(),
        spectral_norm=norm,
        frobenius_norm=frobenius,
        stable_rank=_stable_rank(frobenius, norm),
        truncation_errors_upper=tails,
        truncation=_truncation(tails, norm, rank) if rank is not None else None,
        singular_values=tuple(values),
        bias_norm_upper=bias_norm,
        bias_parameters=bias.numel() if bias is not None else 0,
    )


def _root(squares: Interval) -> Interval:
    return Interval(
        lower=math.sqrt(squares.lower) / SLACK,
        upper=math.sqrt(squares.upper) * SLACK,
    )


def _stable_rank(frobenius: Interval, norm: Interval) -> float | None:
    if norm.upper == 0:
        return None
    ratio = (frobenius.lower + frobenius.upper) / (norm.lower + norm.upper)
    return ratio * ratio


def _truncation(tails: tuple[float, ...], norm: Interval, rank: int) -> Truncation:
    error = tails[min(rank, len(tails) - 1)]
    relative = None if norm.lower == 0 else error / norm.lower * SLACK
    return Truncation(rank=rank, error_upper=error, relative_error_upper=relative)
