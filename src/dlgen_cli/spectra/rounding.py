"""Constants of floating-point error analysis, in float64."""

from __future__ import annotations

UNIT_ROUNDOFF = 2.0**-53
#: Covers a dozen roundings of nonnegative floats on top of a bound.
SLACK = 1.0 + 16 * UNIT_ROUNDOFF
#: Covers whatever underflows in sums of products of entries that are at most 2.
UNDERFLOW = 2.0**-960


def gamma(operations: int) -> float:
    """``n u / (1 - n u)``, rounded upward: relative error of a sum of n products.

    Holds for any order of summation, with or without fused operations.

    Source: Higham 2002, "Accuracy and Stability of Numerical Algorithms", Lemma 3.1 and section
    3.5, https://doi.org/10.1137/1.9780898718027

    Args:
        operations: n, with ``n u < 1``.
    """
    product = operations * UNIT_ROUNDOFF
    return product / (1.0 - product) * SLACK
