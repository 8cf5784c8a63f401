"""From stored pixels to what a network sees: images of norm at most 1."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

#: Level of a uint8 pixel that stands for 1.
LEVELS = 255


def input_scale(entries: int) -> float:
    """The factor that keeps every image with pixels in [0, 1] at norm 1 or less.

    It is the largest float32 ``s`` with ``entries * s**2 <= 1``: the constant
    ``1 / sqrt(entries)`` rounded down. A float32 product of ``s`` and a pixel is at most ``s``,
    so the scaled image has norm at most 1 exactly. The factor depends on the number of pixels
    only, not on the data.

    Args:
        entries: pixels times channels of one image, at least 1.

    Returns:
        The factor, a float32 value.
    """
    scale = np.float32(1 / math.sqrt(entries))
    while entries * Fraction(float(scale)) ** 2 > 1:
        scale = np.nextafter(scale, np.float32(0))
    return float(scale)


def norm_bound(entries: int, scale: float, *, is_features: bool = False) -> float:
    """The largest norm that an input can have after scaling, upward.

    Args:
        entries: as in `input_scale`.
        scale: a float32 value, above 0.
        is_features: the input is a row of finite float32 numbers, not pixels in [0, 1].

    Returns:
        ``scale sqrt(entries)`` rounded up, times the largest float32 for features; 1.0 where it is
        at most 1, as with `input_scale`.
    """
    largest = float(np.finfo(np.float32).max) if is_features else 1
    square = entries * Fraction(scale) ** 2 * Fraction(largest) ** 2
    if square <= 1:
        return 1.0
    root = math.sqrt(square)
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root


def scaled(images: Tensor, scale: float) -> Tensor:
    """What the network sees of stored images.

    Args:
        images: uint8 or float32, as `dlgen_cli.datasets.Split` holds them, on any device.
        scale: from `input_scale`, or 1 for the pixels themselves.

    Returns:
        float32: pixels in [0, 1] times ``scale``; none above ``scale``.
    """
    if images.dtype == torch.uint8:
        return (images.float() / LEVELS) * scale
    return images.to(torch.float32) * scale
