"""A wide bank of fixed filters for small images, and a linear head: nothing below it is trained.

The filters come from a seed and from what is known of natural images in general, not from data.
Their features see no batch, so that the network is a function of its head alone.

The steps follow Coates, Ng and Lee 2011, "An analysis of single-layer networks in unsupervised
feature learning", but with random filters in the place of learned ones and with the covariance of a
model in the place of that of the data:

1. Every patch of 6 x 6 pixels is centred and divided by its contrast.
2. Random filters, whitened for the covariance ``exp(-distance/6)`` between pixels and 0.9 between
   colours, and the mirror image of each.
3. Soft thresholds on both sides: ``relu(r - 1/4)`` and ``relu(-r - 1/4)``.
4. Means over a grid of 4 x 4; a filter's cell and its mirror image's mirrored cell are averaged, so
   that an image and its mirror image have the same features.
5. Centred over the filters, cell by cell, and scaled to unit length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.architectures.torchvision_models import zero_module
from dlgen_cli.errors import UsageError
from dlgen_cli.philox import normal

_PATCH = 6
_REACH = 6.0
_BETWEEN_COLOURS = 0.9
_RIDGE = 0.01
_CONTRAST = 0.03
_THRESHOLD = 0.25
_GRID = 4
#: Filters are rounded to multiples of this, so that rounding before it does not show.
_RESOLUTION = 2.0**-12
_SEED = 1


class FilterBank(nn.Module):
    """The features and their head; see the module's text.

    Attributes:
        width: random filters, without their mirror images.
        head: the matrix of the head, ``32 * width`` inputs, no bias; the only parameter.
    """

    filters: Tensor

    def __init__(self, *, width: int = 128, num_classes: int = 10, channels: int = 3) -> None:
        """Make the network.

        Args:
            width: random filters, at least 1.
            num_classes: number of logits, at least 1.
            channels: of the images, at least 1.
        """
        super().__init__()
        self.width, self.channels = width, channels
        filters = torch.from_numpy(_filters(width, channels))
        self.register_buffer("filters", filters, persistent=False)
        self.head = nn.Linear(2 * width * _GRID**2, num_classes, bias=False)

    def features(self, x: Tensor) -> Tensor:
        """What the head sees.

        Args:
            x: shape ``(n, channels, height, width)``, at least 9 x 9 pixels, in any unit in which
                images of the same size have the same largest pixel: see `pixel_unit`.

        Returns:
            Shape ``(n, 32 * width)``, rows of unit length (0 for an image without contrast).
        """
        x = x * pixel_unit(x)
        box = torch.full_like(self.filters[:1], 1 / self.filters[0].numel())
        mean = functional.conv2d(x, box)
        variance = (functional.conv2d(x.square(), box) - mean.square()).clamp_min(0)
        response = functional.conv2d(x, self.filters) / (variance + _CONTRAST).sqrt()
        sides = [torch.relu(sign * response - _THRESHOLD) for sign in (1, -1)]
        cells = functional.adaptive_avg_pool2d(torch.cat(sides, 1), _GRID)
        cells = cells.reshape(len(x), 2, 2, self.width, _GRID, _GRID)
        pooled = ((cells[:, :, 0] + cells[:, :, 1].flip(-1)) / 2).flatten(1, 2)
        centred = (pooled - pooled.mean(1, keepdim=True)).flatten(1)
        length = centred.square().sum(1, keepdim=True).sqrt()
        return centred / length.clamp_min(1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits, shape ``(n, num_classes)``; x as in `features`."""
        logits: Tensor = self.head(self.features(x))
        return logits


def pixel_unit(x: Tensor) -> float:
    """What brings the images of dlgen back to pixels in [0, 1]: ``sqrt(entries of an image)``."""
    return float(np.float32(np.sqrt(x[0].numel())))


def filter_bank(**arguments: Any) -> nn.Module:
    """Make a `FilterBank`; the head is zero.

    Raises:
        UsageError: an argument is out of its range.
    """
    least = min((value for value in arguments.values() if isinstance(value, int)), default=1)
    if least < 1:
        raise UsageError(
            f"The filter_bank has {arguments}.", remedy="Take at least 1 of everything."
        )
    return zero_module(lambda: FilterBank(**arguments))


def _filters(width: int, channels: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Whitened random filters and their mirror images, ``(2 width, channels, 6, 6)``."""
    places = np.stack(np.divmod(np.arange(_PATCH**2), _PATCH), 1).astype(np.float64)
    distance = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
    colours = np.full((channels, channels), _BETWEEN_COLOURS)
    np.fill_diagonal(colours, 1.0)
    covariance = np.kron(colours, np.exp(-distance / _REACH))
    entries = len(covariance)
    centring = np.eye(entries) - 1 / entries
    covariance = centring @ covariance @ centring
    values, vectors = np.linalg.eigh(covariance)
    whitening = (vectors / np.sqrt(np.maximum(values, 0) + _RIDGE)) @ vectors.T @ centring
    drawn = normal(_SEED, "filter_bank", width * entries).reshape(width, entries)
    rows = drawn @ whitening
    # unit response on patches of the model, of unit variance in every pixel on average
    power = np.einsum("ki,ij,kj->k", rows, covariance, rows) * entries / np.trace(covariance)
    rows = np.round(rows / np.sqrt(power)[:, None] / _RESOLUTION) * _RESOLUTION
    found = rows.reshape(width, channels, _PATCH, _PATCH)
    return np.concatenate([found, found[..., ::-1]]).astype(np.float32)
