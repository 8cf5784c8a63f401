"""Labelled images: where they come from, how they are split, how they are scaled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.errors import UsageError

DIGITS_TEST_STRIDE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceData:
    """A source's labelled images, split into a training pool and a test set.

    Attributes:
        images: the training pool, float32, shape ``(n, channels, height, width)``, pixels in
            [0, 1].
        labels: its labels, int64, shape ``(n,)``, in ``0 .. classes - 1``.
        indices: where each example stands in the source, int64, shape ``(n,)``.
        test_images: the test set, as ``images``.
        test_labels: its labels, as ``labels``.
        classes: number of classes.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int


def load_digits(data_dir: Path | None = None) -> SourceData:
    """Load the 1,797 handwritten digits of 8 x 8 pixels that scikit-learn carries.

    The split does not depend on any seed: of the examples of each class, in the order of the
    file, every fifth one (the 5th, 10th, 15th, ...) belongs to the test set. That leaves about
    80 % of every class for training.

    Args:
        data_dir: not needed; the images are part of scikit-learn.

    Returns:
        Pixels ``value / 16`` in [0, 1], exact in float32, shape ``(n, 1, 8, 8)``.
    """
    del data_dir
    from sklearn import datasets  # takes a second, and only digits needs it

    values, targets = datasets.load_digits(return_X_y=True)
    images = torch.from_numpy(np.asarray(values, dtype=np.float32) / 16).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))
    test = _every_nth_of_each_class(labels, DIGITS_TEST_STRIDE)
    return SourceData(
        images=images[~test],
        labels=labels[~test],
        indices=torch.nonzero(~test).flatten(),
        test_images=images[test],
        test_labels=labels[test],
        classes=10,
    )


_LOADERS: Mapping[str, Callable[[Path | None], SourceData]] = {"digits": load_digits}


def source_names() -> tuple[str, ...]:
    """The sources that `load_source` knows, sorted."""
    return tuple(sorted(_LOADERS))


def load_source(name: str, data_dir: Path | None = None) -> SourceData:
    """Load a source by name.

    Args:
        name: one of `source_names`.
        data_dir: where the source keeps its files, for sources that have files.

    Returns:
        Its training pool and test set.

    Raises:
        UsageError: the name is unknown.
    """
    loader = _LOADERS.get(name)
    if loader is None:
        raise UsageError(
            f"The source {name!r} is not available: this version trains digits with mlp.",
            remedy="Give --source digits.",
        )
    return loader(data_dir)


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


def _every_nth_of_each_class(labels: Tensor, stride: int) -> Tensor:
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        chosen[torch.nonzero(labels == label).flatten()[stride - 1 :: stride]] = True
    return chosen
