"""A wide bank of fixed filters for small images, and a linear head: nothing below it is trained.

The filters come from a seed and from what is known of natural images in general, not from data.
Their features see no batch, so that the network is a function of its head alone.

The steps follow Coates, Ng and Lee 2011, "An analysis of single-layer networks in unsupervised
feature learning", but with random filters in the place of learned ones and with the covariance of a
model in the place of that of the data. With patches of 4 x 4 pixels:

1. Every patch is centred and divided by its contrast.
2. Random filters, whitened for the covariance ``exp(-distance/6)`` between pixels and 0.9 between
   colours, and the mirror image of each.
3. Soft thresholds on both sides: ``relu(r - 1/4)`` and ``relu(-r - 1/4)``.
4. Means over grids of 4 x 4, 2 x 2 and 1 cell; a filter's cell and its mirror image's mirrored
   cell are averaged, so that an image and its mirror image have the same features.
5. Square roots, centred over the filters, cell by cell; each grid scaled to unit length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.architectures.torchvision_models import zero_module
from dlgen_cli.errors import UsageError
from dlgen_cli.philox import normal

SIZES = (4,)
_REACH = 6.0
_BETWEEN_COLOURS = 0.9
_RIDGE = 0.01
_CONTRAST = 0.03
_THRESHOLD = 0.25
_GRID = 4
_COARSER = (4, 2, 1)
#: Features for each filter: two signs in each cell of each grid.
FEATURES = 2 * sum(cells**2 for cells in _COARSER)
#: Filters are rounded to multiples of this, so that rounding before it does not show.
_RESOLUTION = 2.0**-12
_SEED = 1
_LEAST_LENGTH = 1e-12


class FilterFeatures(nn.Module):
    """The features of a bank, in blocks of unit length; it has no parameters.

    Attributes:
        width: random filters of each size, without their mirror images.
        sizes: of the patches, those that fit the image.
        blocks: how many blocks of features there are.
        entries: features in all.
    """

    def __init__(self, *, width: int, channels: int, pixels: int) -> None:
        """Draw the filters.

        Args:
            width: random filters of each size, at least 1.
            channels: of the images, at least 1.
            pixels: the shorter side of the images, at least 4.
        """
        super().__init__()
        self.width = width
        self.sizes = tuple(size for size in SIZES if size <= pixels)
        self.blocks = len(self.sizes) * len(_COARSER)
        self.entries = len(self.sizes) * FEATURES * width
        for size in self.sizes:
            filters = torch.from_numpy(_filters(width, channels, size))
            layout = filters.contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"filters{size}", layout, persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the blocks.

        Args:
            x: shape ``(n, channels, height, width)``: pixels in [0, 1] times ``1/sqrt(entries of
                an image)``, as dlgen scales them.

        Returns:
            For each size and each grid a matrix of ``n`` rows of unit length (0 for an image
            without contrast).
        """
        pixels = x * float(np.float32(np.sqrt(x[0].numel())))
        return [block for size in self.sizes for block in self._of_size(pixels, size)]

    def _of_size(self, x: Tensor, size: int) -> list[Tensor]:
        filters = self.get_buffer(f"filters{size}")
        mean = functional.avg_pool2d(x.mean(1, keepdim=True), size, 1)
        square = functional.avg_pool2d(x.square().mean(1, keepdim=True), size, 1)
        contrast = ((square - mean.square()).clamp_min(0) + _CONTRAST).rsqrt()
        layout = x.contiguous(memory_format=torch.channels_last)
        response = functional.conv2d(layout, filters) * contrast
        pool = _pooling(*response.shape[2:])
        flat = response.permute(0, 2, 3, 1).flatten(1, 2)
        sides = [pool @ torch.relu(sign * flat - _THRESHOLD) for sign in (1, -1)]
        cells = torch.stack(sides, 1).reshape(len(x), 2, _GRID, _GRID, 2, self.width)
        pooled = (cells[..., 0, :] + cells[..., 1, :].flip(3)) / 2  # n, sign, row, column, filter
        by_filter = pooled.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return [
            _unit(functional.avg_pool2d(by_filter, _GRID // cells_left)) for cells_left in _COARSER
        ]


class FilterBank(nn.Module):
    """The features and a linear head; see the module's text.

    Attributes:
        bank: the features.
        head: the matrix of the head, no bias; the only parameter.
    """

    def __init__(
        self, *, width: int = 32, num_classes: int = 10, channels: int = 3, pixels: int = 32
    ) -> None:
        """Make the network; arguments as in `FilterFeatures`, and the number of logits."""
        super().__init__()
        self.bank = FilterFeatures(width=width, channels=channels, pixels=pixels)
        self.head = nn.Linear(self.bank.entries, num_classes, bias=False)

    def features(self, x: Tensor) -> Tensor:
        """What the head sees: shape ``(n, k)``, rows of unit length."""
        joint = torch.cat(self.bank(x), 1)
        return joint / math.sqrt(self.bank.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits, shape ``(n, num_classes)``."""
        logits: Tensor = self.head(self.features(x))
        return logits


def filter_bank(**arguments: Any) -> nn.Module:
    """Make a `FilterBank`; the head is zero.

    Raises:
        UsageError: an argument is out of its range.
    """
    require_bank_sizes("filter_bank", arguments)
    return zero_module(lambda: FilterBank(**arguments))


def require_bank_sizes(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse numbers that make no bank.

    Raises:
        UsageError: names them.
    """
    numbers = [value for value in arguments.values() if isinstance(value, int)]
    if min(numbers, default=1) < 1 or arguments.get("pixels", SIZES[0]) < SIZES[0]:
        raise UsageError(
            f"The {name} has {dict(arguments)}.",
            remedy=f"Take at least 1 of everything, and images of at least {SIZES[0]} pixels.",
        )


def _unit(maps: Tensor) -> Tensor:
    """Square roots of the maps, centred over the filters, as rows of unit length."""
    roots = maps.clamp_min(0).sqrt()
    centred = (roots - roots.mean(1, keepdim=True)).flatten(1)
    return centred / centred.square().sum(1, keepdim=True).sqrt().clamp_min(_LEAST_LENGTH)


def _pooling(height: int, width: int) -> Tensor:
    """Means over a grid, as adaptive pooling takes them: shape ``(16, height * width)``."""
    rows, columns = _means(height), _means(width)
    return torch.kron(rows, columns)


def _means(size: int) -> Tensor:
    found = torch.zeros(_GRID, size)
    for cell in range(_GRID):
        start, end = cell * size // _GRID, -((-(cell + 1) * size) // _GRID)
        found[cell, start:end] = 1 / (end - start)
    return found


def _filters(width: int, channels: int, size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Whitened random filters and their mirror images, ``(2 width, channels, size, size)``."""
    places = np.stack(np.divmod(np.arange(size**2), size), 1).astype(np.float64)
    distance = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
    colours = np.full((channels, channels), _BETWEEN_COLOURS)
    np.fill_diagonal(colours, 1.0)
    covariance = np.kron(colours, np.exp(-distance / _REACH))
    entries = len(covariance)
    centring = np.eye(entries) - 1 / entries
    covariance = centring @ covariance @ centring
    values, vectors = np.linalg.eigh(covariance)
    whitening = (vectors / np.sqrt(np.maximum(values, 0) + _RIDGE)) @ vectors.T @ centring
    drawn = normal(_SEED, f"filter_bank/{size}", width * entries).reshape(width, entries)
    rows = drawn @ whitening
    # unit response on patches of the model, of unit variance in every pixel on average
    power = np.einsum("ki,ij,kj->k", rows, covariance, rows) * entries / np.trace(covariance)
    rows = np.round(rows / np.sqrt(power)[:, None] / _RESOLUTION) * _RESOLUTION
    found = rows.reshape(width, channels, size, size)
    return np.concatenate([found, found[..., ::-1]]).astype(np.float32)
