"""What a weight that was computed leaves of a layer's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dlgen_cli.networks import EffectiveLayer, GraphLayer
from dlgen_cli.spectra.convolution import TOLERANCE
from dlgen_cli.spectra.dense import spectral_norm_bounds
from dlgen_cli.spectra.operator_norms import Geometry, error_factor, norm_of_weight
from dlgen_cli.spectra.rounding import SLACK, gamma
from dlgen_cli.spectra.sums import root, sum_of_squares


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """``W - W'``, for a W' that was computed in float64.

    Attributes:
        layer: whose weight W is.
        difference: of W's shape, float64; it alone is kept, for its norm needs several times as
            much memory.
        rounding_upper: bounds the operator norm of its error: that of W', of folding, and of the
            difference.
    """

    layer: GraphLayer
    difference: torch.Tensor
    rounding_upper: float

    def norm_upper(self, *, geometry: Geometry, tolerance: float = TOLERANCE) -> float:
        """Upper bound on the operator norm of ``W - W'``.

        Args:
            geometry: as for `dlgen_cli.spectra.layers.measure_layer`.
            tolerance: as for `dlgen_cli.spectra.layers.measure_layer`.
        """
        norm = norm_of_weight(
            self.layer,
            self.difference,
            geometry=geometry,
            tolerance=tolerance,
            matrix_norm=spectral_norm_bounds,
            upper_only=True,
        )
        return (norm.upper + self.rounding_upper) * SLACK


def residual(
    effective: EffectiveLayer, moved: torch.Tensor, magnitude: torch.Tensor, *, products: int
) -> Residual:
    """Subtract W' from the weight W that a layer applies.

    Args:
        effective: the layer.
        moved: W', of the same shape: entries, or products of factors.
        magnitude: ``|U| |V|^T`` where W' is ``U V^T``, else ``|W'|``.
        products: how many products each entry of W' sums.
    """
    layer, weight = effective.layer, effective.weight.to(torch.float64)
    rounding = gamma(products + 8) * root(sum_of_squares(magnitude)).upper
    rounding += (effective.rounding_upper + gamma(8)) * root(sum_of_squares(weight)).upper
    return Residual(layer, weight - moved, rounding * error_factor(layer, weight))
