"""The operator norm of a layer's weight, or of a difference of two, by the layer's kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from torch import Tensor

from dlgen_cli.networks import GraphLayer
from dlgen_cli.networks.layer_kinds import kind_of
from dlgen_cli.records import Interval
from dlgen_cli.spectra.convolution import convolution_norm
from dlgen_cli.spectra.geometry import ConvolutionGeometry, patch_factor_upper
from dlgen_cli.spectra.rounding import SLACK
from dlgen_cli.spectra.sums import largest_magnitude, sum_of_squares

Geometry = Literal["known", "assumed"]


def norm_of_weight(
    layer: GraphLayer,
    weight: Tensor,
    *,
    geometry: Geometry,
    tolerance: float,
    matrix_norm: Callable[[Tensor], Interval],
    upper_only: bool = False,
) -> Interval:
    """Enclose the operator norm of a weight that is applied as a layer applies its own.

    Args:
        layer: its kind and geometry.
        weight: of the layer's shape, any floating type.
        geometry: whether stride, padding and groups of a convolution are known. Where they are
            assumed, the norm is that of the largest map.
        tolerance: relative width of a convolution's bracket.
        matrix_norm: encloses the largest singular value of a matrix.
        upper_only: spend nothing on the lower end of a convolution, which may then be 0.
    """
    match kind_of(layer).operator:
        case "factors":
            largest = largest_magnitude(weight)
            return Interval(lower=largest, upper=largest)
        case "vector":
            squares = sum_of_squares(weight)
            return Interval(
                lower=math.sqrt(squares.lower) / SLACK, upper=math.sqrt(squares.upper) * SLACK
            )
        case "kernel":
            placed = _placed(layer, geometry)
            return convolution_norm(weight, placed, tolerance, upper_only=upper_only)
        case "matrix":
            return matrix_norm(weight)


def error_factor(layer: GraphLayer, weight: Tensor) -> float:
    """Bound from above the operator norm of an error by this times its Frobenius norm.

    Args:
        layer: its kind and geometry.
        weight: of the layer's shape.

    Returns:
        1 but for a convolution, whose kernel meets an input entry at several positions; see
        `dlgen_cli.spectra.geometry.patch_factor_upper`.
    """
    if kind_of(layer).operator != "kernel":
        return 1.0
    return patch_factor_upper(weight, _geometry(layer))


def _geometry(layer: GraphLayer) -> ConvolutionGeometry:
    """The geometry of a convolution, without the size of its map."""
    return ConvolutionGeometry(
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        transposed=layer.transposed,
        output_padding=layer.output_padding,
        padding_mode=layer.padding_mode,  # type: ignore[arg-type]
    )


def _placed(layer: GraphLayer, geometry: Geometry) -> ConvolutionGeometry:
    """The geometry of a convolution on its own map, where that is known."""
    unplaced = _geometry(layer)
    return replace(unplaced, input_size=layer.input_size) if geometry == "known" else unplaced
