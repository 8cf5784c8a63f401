"""A source of labelled examples: its training pool and its test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Labelled images, or rows of features, as they are stored.

    Attributes:
        images: shape ``(n, channels, height, width)``; uint8, where level v stands for the
            pixel v/255, or float32 with pixels in [0, 1]. Of features: float32, ``(n, d)``.
        labels: int64, shape ``(n,)``, in ``0 .. classes - 1``.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def take(self, chosen: Tensor) -> Split:
        """The examples with these indices, in this order."""
        return Split(images=self.images[chosen], labels=self.labels[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFile:
    """A file that features were read from.

    Attributes:
        name: without its folders.
        sha256: of its content.
        columns: features of each example that it holds.
    """

    name: str
    sha256: str
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceData:
    """A source's labelled examples.

    Attributes:
        name: what it is, for people.
        train: the training pool.
        test: the test set.
        indices: where each example of the pool stands in the source, int64, shape ``(n,)``.
        classes: names of the classes, in the order of the labels.
        files: that rows of features were read from, in the order of their columns; none for images.
    """

    name: str
    train: Split
    test: Split
    indices: Tensor
    classes: tuple[str, ...]
    files: tuple[FeatureFile, ...] = ()
