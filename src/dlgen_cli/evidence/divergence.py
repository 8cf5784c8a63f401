"""The KL divergence of a Gaussian posterior from its prior, coordinate by coordinate, upward."""

from __future__ import annotations

import math
import sys
from decimal import Decimal

from torch import Tensor

from dlgen_cli.bounds.arithmetic import to_float, upward
from dlgen_cli.errors import UsageError
from dlgen_cli.predictors import Deviation, Factor
from dlgen_cli.spectra import log_sum_lower, squared_distance_upper, sum_of_squares

#: More than all roundings of 60 digits together lose, for each entry and relative to its size.
_DECIMALS = Decimal("1e-45")
#: What a quotient of two floats loses in its logarithm, doubled.
_QUOTIENT = Decimal(2) ** -52


@upward
def distance_nats_upper(mean: Tensor, prior_mean: Tensor, prior_deviation: float) -> float:
    """Upper bound on ``sum_i (mu_i - theta_i)^2 / (2 t^2)``; 0 only where the means are equal.

    Args:
        mean: of the posterior, finite.
        prior_mean: of the same shape.
        prior_deviation: t, above 0.

    Raises:
        UsageError: it exceeds the range of float64.
    """
    squared = squared_distance_upper(mean, prior_mean)
    return _rounded(Decimal(squared) / (2 * Decimal(prior_deviation) ** 2))


@upward
def spread_nats_upper(mean: Tensor, deviation: Deviation, prior_deviation: float) -> float:
    """Upper bound on ``(tr R - p - ln det R) / 2``, R the covariance over that of the prior.

    Args:
        mean: of the posterior; its shape counts.
        deviation: of the posterior, above 0; of rows: with a positive diagonal and nothing above.
        prior_deviation: t, above 0.

    Returns:
        Exactly 0 where the deviation of every entry is t.
    """
    if isinstance(deviation, Tensor):
        moved = deviation[deviation != prior_deviation]
        return _rounded(_entries_nats(moved, moved, prior_deviation))
    if isinstance(deviation, float | int):
        return _rounded(mean.numel() * _entry_nats(deviation, prior_deviation))
    matrix = deviation.matrix
    rows = mean.numel() // len(matrix)
    return _rounded(rows * _entries_nats(matrix, matrix.diagonal(), prior_deviation))


@upward
def choice_nats_upper(choices: int, times: int) -> float:
    """Upper bound on ``times ln(choices)``: a choice made that often."""
    return to_float(times * Decimal(choices).ln().next_plus()) or 0.0


def _entry_nats(deviation: float, prior_deviation: float) -> Decimal:
    """``(r^2 - 1 - ln r^2) / 2`` of one entry."""
    if deviation == prior_deviation:
        return Decimal(0)
    ratio = Decimal(deviation) / Decimal(prior_deviation)
    exact = (ratio * ratio - 1) / 2 - ratio.ln()
    return exact + _DECIMALS * (1 + ratio * ratio)


def _entries_nats(squared: Tensor, logged: Tensor, prior_deviation: float) -> Decimal:
    """``(sum_i r_i^2 - n - 2 sum_j ln r_j) / 2``, the second sum over n entries."""
    count = logged.numel()
    squares = Decimal(sum_of_squares(squared).upper) / Decimal(prior_deviation) ** 2
    logarithms = Decimal(log_sum_lower(logged.double() / prior_deviation)) - count * _QUOTIENT
    exact = (squares - count) / 2 - logarithms
    return max(Decimal(0), exact + _DECIMALS * (count + squares))


def _rounded(nats: Decimal) -> float:
    """The float at or above; a normal one, unless it is 0."""
    found = to_float(nats)
    if found is not None:
        return found
    if nats < 1:
        return sys.float_info.min
    raise UsageError(
        "The divergence from the prior exceeds the range of float64.",
        remedy="Train the run again with a wider prior.",
    )


@upward
def log_density_ratio_upper(
    distances: Tensor, noise: Tensor, deviation: Deviation, prior_deviation: float
) -> float:
    """Upper bound on ``ln (dQ/dP)(h)`` of one tensor h = mu + F e that was drawn from Q.

    ``1/2 (|h - theta|^2 / t^2 - |e|^2 - ln det R)``, R the covariance over that of the prior.

    Args:
        distances: upper bounds on ``|h - theta|``, entry by entry.
        noise: e, one row for each row of the tensor.
        deviation: of the posterior, above 0; of rows: with a positive diagonal and nothing above.
        prior_deviation: t, above 0.

    Returns:
        A finite number; it may be below 0.
    """
    squares = Decimal(sum_of_squares(distances).upper) / Decimal(prior_deviation) ** 2
    difference = squares - Decimal(sum_of_squares(noise).lower)
    if isinstance(deviation, float | int):
        ratio = Decimal(prior_deviation) / Decimal(deviation)
        logarithms = -noise.numel() * ratio.ln().next_plus()
    else:
        rows = len(noise) if isinstance(deviation, Factor) else 1
        entries = deviation.matrix.diagonal() if isinstance(deviation, Factor) else deviation
        lower = Decimal(log_sum_lower(entries.double() / prior_deviation))
        logarithms = rows * (lower - entries.numel() * _QUOTIENT)
    exact = difference / 2 - logarithms + _DECIMALS * (1 + squares)
    nearest = float(exact)
    return nearest if Decimal(nearest) >= exact else math.nextafter(nearest, math.inf)
