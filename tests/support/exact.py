"""Bounds against their exact values in mpmath's numbers."""

from decimal import Decimal

import mpmath


def mpf(value):
    """The same number; a decimal by all its digits."""
    return mpmath.mpf(str(value) if isinstance(value, Decimal) else value)


def exact_kl(q, p):
    """``kl(q || p)`` of two coins, for q in [0, 1] and p in (0, 1)."""
    q, p = mpf(q), mpf(p)
    first = q * mpmath.log(q / p) if q else mpmath.mpf(0)
    return first + ((1 - q) * mpmath.log((1 - q) / (1 - p)) if q < 1 else 0)


def close_above(found, exact, tolerance="1e-12"):
    """Whether a number is at least the exact one, and hardly larger."""
    assert found is not None
    assert exact <= mpf(found) <= exact * (1 + mpmath.mpf(tolerance))
