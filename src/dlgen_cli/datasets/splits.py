"""A source of labelled examples: its training pool and its test set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dlgen_cli.datasets.identity import hash_images

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

    def take(self, chosen: Tensor | slice) -> Split:
        """The examples with these indices, in this order; those of a slice share its memory."""
        return Split(images=self.images[chosen], labels=self.labels[chosen])


def digest_examples(examples: Split) -> str:
    """SHA-256 of the stored images' bytes followed by the labels' bytes, as hexadecimal digits."""
    result = hashlib.sha256()
    for tensor in (examples.images, examples.labels):
        result.update(tensor.contiguous().numpy().data)
    return result.hexdigest()


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


class Source(Protocol):
    """Labelled examples, of which those are read that someone asks for; see `SourceData`."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""

    @property
    def indices(self) -> Tensor:
        """Where each example of the pool stands in the source, int64, shape ``(n,)``."""

    @property
    def files(self) -> tuple[FeatureFile, ...]:
        """Files that rows of features were read from; none for images."""

    @property
    def is_read(self) -> bool:
        """Whether all examples are in memory."""

    def take(self, chosen: Tensor | None = None) -> Split:
        """The examples of the pool at these positions, in this order; None for all."""

    def test_set(self) -> Split:
        """The whole test set."""

    def hashes(self, chosen: Tensor) -> Tensor:
        """`hash_images` of those images of the pool, of which few are in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceData:
    """A source whose examples are all in memory.

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

    @property
    def is_read(self) -> bool:
        """True."""
        return True

    def take(self, chosen: Tensor | None = None) -> Split:
        """Examples of the pool, see `Source`."""
        return self.train if chosen is None else self.train.take(chosen)

    def test_set(self) -> Split:
        """The test set."""
        return self.test

    def hashes(self, chosen: Tensor) -> Tensor:
        """Hashes of images of the pool, see `Source`."""
        return hash_images(self.train.images[chosen])


def read_all(source: Source) -> SourceData:
    """A source with all its examples in memory."""
    return SourceData(
        name=source.name,
        train=source.take(),
        test=source.test_set(),
        indices=source.indices,
        classes=source.classes,
        files=source.files,
    )
