"""Constants of floating-point error analysis."""

from __future__ import annotations

UNIT_ROUNDOFF = 2.0**-53
#: Of float32.
UNIT_ROUNDOFF_SINGLE = 2.0**-24
#: Covers a dozen roundings of nonnegative floats on top of a bound.
SLACK = 1.0 + 16 * UNIT_ROUNDOFF
#: Covers whatever underflows in sums of products of entries that are at most 2.
UNDERFLOW = 2.0**-960


def gamma(operations: int, unit: float = UNIT_ROUNDOFF) -> float:
    """``n u / (1 - n u)``, rounded upward: relative error of a sum of n products.

    Holds for any order of summation, with or without fused operations.

    Source: Higham 2002, "Accuracy and Stability of Numerical Algorithms", Lemma 3.1 and section
    3.5, https://doi.org/10.1137/1.9780898718027

    Args:
        operations: n, with ``n u < 1``.
        unit: u, of float64 where not given.
    """
    product = operations * unit
    return product / (1.0 - product) * SLACK
