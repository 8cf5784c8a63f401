"""Powers of two taken out of a matrix, so that its squares stay within the floats, and put back."""

from __future__ import annotations

import math

import torch

from dlgen_cli.spectra.sums import largest_magnitude


def without_exponent(matrix: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Take the power of two out of a matrix; exact.

    Args:
        matrix: finite, of any shape, with entries.

    Returns:
        ``(matrix / 2^e, e)`` in float64 on the CPU: the largest magnitude is in ``[1/2, 1)``, or
        zero, and then ``e`` is 0.
    """
    wide = matrix.detach().to(device="cpu", dtype=torch.float64)
    exponent = math.frexp(largest_magnitude(wide))[1]
    half = exponent // 2  # in two exact steps: 2^-e itself may leave the floats
    return (wide * 2.0**-half).mul_(2.0 ** (half - exponent)), exponent


def with_exponent(value: float, exponent: int, *, toward: float) -> float:
    """``value * 2^exponent``, rounded to the side of ``toward``: 0 or infinity."""
    try:
        scaled = math.ldexp(value, exponent)
    except OverflowError:
        return math.inf if toward else math.nextafter(math.inf, 0.0)
    return scaled if math.ldexp(scaled, -exponent) == value else math.nextafter(scaled, toward)
