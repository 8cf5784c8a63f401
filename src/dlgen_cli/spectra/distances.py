"""How far two weights of the same layer are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dlgen_cli.networks import EffectiveLayer
from dlgen_cli.records import Interval
from dlgen_cli.spectra.convolution import TOLERANCE
from dlgen_cli.spectra.dense import singular_value_bounds
from dlgen_cli.spectra.layers import widened
from dlgen_cli.spectra.operator_norms import Geometry, error_factor, norm_of_weight
from dlgen_cli.spectra.products import product_norms
from dlgen_cli.spectra.rounding import SLACK, UNIT_ROUNDOFF
from dlgen_cli.spectra.sums import sum_of_squares

if TYPE_CHECKING:
    from dlgen_cli.networks import GraphLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Norms:
    """Two norms of one weight or of one difference.

    Attributes:
        spectral: encloses the operator norm.
        frobenius: encloses the Frobenius norm.
    """

    spectral: Interval
    frobenius: Interval


def norms(
    effective: EffectiveLayer,
    *,
    geometry: Geometry,
    device: torch.device,
    tolerance: float = TOLERANCE,
) -> Norms:
    """Enclose the two norms of a layer's weight.

    Args:
        effective: the layer with the tensors that it really applies.
        geometry: whether stride, padding and groups of a convolution are known.
        device: where singular values are computed.
        tolerance: relative width of a convolution's bracket.
    """
    if effective.factors is not None:
        left, right = effective.factors
        error = effective.rounding_upper and effective.rounding_upper * _size(left) * _size(right)
        return _product(left, right, error)
    weight = effective.weight
    error = effective.rounding_upper and effective.rounding_upper * _size(weight)
    return _weight(weight, effective.layer, error, geometry, tolerance, device)


def distance(
    one: EffectiveLayer,
    two: EffectiveLayer,
    *,
    geometry: Geometry,
    device: torch.device,
    tolerance: float = TOLERANCE,
) -> Norms:
    """Enclose the two norms of ``W_1 - W_2``; of two products it is never formed.

    Args:
        one: the layer with the weight W_1; its geometry counts.
        two: the same layer with W_2, of the same shape and also a product if W_1 is one.
        geometry: as for `norms`.
        device: as for `norms`.
        tolerance: as for `norms`.

    Returns:
        Exactly 0 where plain weights are equal.
    """
    if one.factors is not None and two.factors is not None:
        left = torch.cat([one.factors[0], -two.factors[0]], dim=1)
        right = torch.cat([one.factors[1], two.factors[1]], dim=0)
        error = sum(
            each.rounding_upper * _size(each.factors[0]) * _size(each.factors[1])
            for each in (one, two)
            if each.factors is not None and each.rounding_upper
        )
        return _product(left, right, error)
    difference = one.weight.double() - two.weight.double()
    error = UNIT_ROUNDOFF * _size(difference)
    error += sum(
        each.rounding_upper * _size(each.weight) for each in (one, two) if each.rounding_upper
    )
    return _weight(difference, one.layer, error, geometry, tolerance, device)


def _weight(
    weight: torch.Tensor,
    layer: GraphLayer,
    error: float,
    geometry: Geometry,
    tolerance: float,
    device: torch.device,
) -> Norms:
    """The norms of a matrix or kernel whose Frobenius norm is off by up to ``error``."""
    spectral = norm_of_weight(
        layer,
        weight,
        geometry=geometry,
        tolerance=tolerance,
        matrix_norm=lambda matrix: singular_value_bounds(matrix.to(device))[0],
    )
    return Norms(
        spectral=widened(spectral, error * error_factor(layer, weight) * SLACK),
        frobenius=widened(_frobenius(weight), error * SLACK),
    )


def _product(left: torch.Tensor, right: torch.Tensor, error: float) -> Norms:
    found = product_norms(left, right)
    return Norms(
        spectral=widened(found.singular_values[0], error * SLACK),
        frobenius=widened(found.frobenius_norm, error * SLACK),
    )


def _frobenius(weight: torch.Tensor) -> Interval:
    squares = sum_of_squares(weight)
    return Interval(lower=math.sqrt(squares.lower) / SLACK, upper=math.sqrt(squares.upper) * SLACK)


def _size(weight: torch.Tensor) -> float:
    return _frobenius(weight).upper
