"""A normalization of images by constants: no statistics, nothing to train."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FixedNormalization(nn.Module):
    """``(x - mean) / deviation`` for each channel, as ``factor x + shift``.

    The constants belong to the architecture: they are no parameters and no buffers.

    Attributes:
        factors: ``1 / deviation`` rounded to float32, by channel.
        shifts: ``-mean / deviation`` rounded to float32, by channel.
    """

    def __init__(self, means: Sequence[float], deviations: Sequence[float]) -> None:
        """Take the constants.

        Args:
            means: by channel.
            deviations: by channel, above 0.
        """
        super().__init__()
        mean = torch.tensor(means, dtype=torch.float64, device="cpu")
        deviation = torch.tensor(deviations, dtype=torch.float64, device="cpu")
        self.factors: tuple[float, ...] = tuple((1 / deviation).float().tolist())
        self.shifts: tuple[float, ...] = tuple((-mean / deviation).float().tolist())

    def forward(self, x: Tensor) -> Tensor:
        """Normalize images of shape ``(n, channels, height, width)``."""
        constants = torch.tensor([self.factors, self.shifts], dtype=x.dtype, device=x.device)
        factors, shifts = constants.reshape(2, -1, 1, 1).unbind()
        return x * factors + shifts
