"""One network from a Gaussian over its weights: the draw, and how far rounding may have moved it.

What is drawn is the exact ``h = mu + F e``, a real vector. The network has its entries rounded to
float32, which is a map of h alone: the entries that float64 gives are rounded as the exact ones
are, see `draw_weights`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.philox import words
from dlgen_cli.predictors.deviations import Deviation, Factor

_UNIT = 2.0**-53


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightDraw:
    """One tensor of a draw.

    Attributes:
        weights: the exact draw, rounded to float32.
        distances_upper: float64, each at least what the exact draw is away from the prior's mean.
        noise: e, float64, one row for each of the tensor's.
    """

    weights: Tensor
    distances_upper: Tensor
    noise: Tensor


def standard_normals(seed: int, purpose: str, count: int) -> Tensor:
    """Normals that a seed gives on every machine, up to rounding: the quantiles of Philox's words.

    Args:
        seed: at least 0.
        purpose: what they are for; another one has a stream of its own.
        count: how many.

    Returns:
        float64, shape ``(count,)``.
    """
    levels = ((words(seed, purpose, count) >> np.uint64(11)).astype(np.float64) + 0.5) * _UNIT
    normals: Tensor = torch.special.ndtri(torch.from_numpy(levels))
    return normals


def draw_weights(
    mean: Tensor, prior_mean: Tensor, deviation: Deviation, noise: Tensor
) -> WeightDraw:
    """Draw one tensor.

    Args:
        mean: of the posterior, float32.
        prior_mean: of the prior, float32, of the same shape.
        deviation: of the posterior, above 0.
        noise: float64, as many standard normals as ``mean`` has entries.
    """
    start = mean.double().reshape(len(mean), -1) if mean.ndim else mean.double().reshape(1, 1)
    noise = noise.reshape(start.shape)
    if isinstance(deviation, Factor):
        factor, terms = deviation.matrix.double().cpu(), len(deviation.matrix)
        moved, sizes = noise @ factor.mT, noise.abs() @ factor.abs().mT
    else:
        spread = torch.as_tensor(deviation, dtype=torch.float64).cpu()
        spread, terms = spread.reshape(start.shape) if spread.ndim else spread, 1
        moved, sizes = noise * spread, noise.abs() * spread
    found = start + moved
    errors = (start.abs() + sizes) * (2 * (terms + 4) * _UNIT)
    weights = found.float()
    low, high = (found - errors).float(), (found + errors).float()
    for row, column in torch.nonzero(low != high).tolist():
        exact = Fraction(float(start[row, column])) + _moved(deviation, noise, row, column)
        ends = float(low[row, column]), float(high[row, column])
        is_high = exact > (Fraction(ends[0]) + Fraction(ends[1])) / 2
        weights[row, column] = ends[is_high]
    away = (found - prior_mean.double().reshape(start.shape)).abs()
    return WeightDraw(
        weights=weights.reshape(mean.shape),
        distances_upper=away * (1 + 8 * _UNIT) + errors,
        noise=noise,
    )


def _moved(deviation: Deviation, noise: Tensor, row: int, column: int) -> Fraction:
    """What noise adds to an entry, exactly."""
    if isinstance(deviation, Factor):
        pairs = zip(deviation.matrix[column].tolist(), noise[row].tolist(), strict=True)
        return sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))
    spread = torch.as_tensor(deviation, dtype=torch.float64).cpu()
    own = spread.reshape(noise.shape)[row, column] if spread.ndim else spread
    return Fraction(float(own)) * Fraction(float(noise[row, column]))
