"""A normalization of rows of features by their own norms: it looks at one example at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: A row, or a part of one, of a smaller norm is no longer brought to the full one.
LEAST_NORM = 1e-6


class RowNormalization(nn.Module):
    """Brings each part of a row to norm ``sqrt(k)``, k its entries: a root mean square of 1.

    ``x -> sqrt(k) x / max(||x||, 1e-6)`` is the projection onto a ball, scaled. It has no
    parameters and rests on no other example, so that no sample has to pay for it.

    Attributes:
        parts: entries of each part of a row, such as the features of one model.
    """

    def __init__(self, parts: Sequence[int]) -> None:
        """Take the sizes of the parts, each at least 1."""
        super().__init__()
        self.parts = tuple(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize rows of shape ``(n, sum(parts))``."""
        normed = []
        for part, size in zip(torch.split(x, list(self.parts), dim=1), self.parts, strict=True):
            norms = torch.linalg.vector_norm(part, dim=1, keepdim=True).clamp(min=LEAST_NORM)
            normed.append(part * (math.sqrt(size) / norms))
        return torch.cat(normed, dim=1)
