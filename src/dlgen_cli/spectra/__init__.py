"""Linear maps to norms and singular-value tails, each with its direction."""

from dlgen_cli.spectra.distances import Norms, distance, norms
from dlgen_cli.spectra.layers import (
    measure_layer,
    operator_norm,
    scaled_norm,
)
from dlgen_cli.spectra.residuals import residual
from dlgen_cli.spectra.small_matrices import MOST_ENTRIES, Enclosures, enclose_each
from dlgen_cli.spectra.sums import (
    largest_magnitude,
    log_sum_lower,
    squared_distance_upper,
    sum_of_squares,
    sum_up,
)

__all__ = [
    "MOST_ENTRIES",
    "Enclosures",
    "Norms",
    "distance",
    "enclose_each",
    "largest_magnitude",
    "log_sum_lower",
    "measure_layer",
    "norms",
    "operator_norm",
    "residual",
    "scaled_norm",
    "squared_distance_upper",
    "sum_of_squares",
    "sum_up",
]
