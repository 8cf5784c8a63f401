"""Image folders: ``DIR/train/<class>/*`` and ``DIR/test/<class>/*``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dlgen_cli.datasets.image_files import ImageFiles, Progress, images_in, open_images
from dlgen_cli.datasets.splits import FeatureFile, Split
from dlgen_cli.errors import DataError

TEST_NAMES = ("test", "val", "valid", "validation")
_LAYOUT = "Lay them out as DIR/train/<class>/*.png and DIR/test/<class>/*.png."


def is_image_folder(directory: Path) -> bool:
    """Whether the directory has the layout that `open_image_folder` reads."""
    return (directory / "train").is_dir()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """A source whose images are decoded as they are asked for; see `dlgen_cli.datasets.Source`.

    Attributes:
        name: what it is, for people.
        classes: the folders of ``train`` in the order of their names.
        train: the training pool, in the order of class, then of the file's name.
        train_labels: int64, shape ``(n,)``.
        test: the test set, in the same order.
        test_labels: as ``train_labels``.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageFiles
    train_labels: Tensor
    test: ImageFiles
    test_labels: Tensor

    @property
    def indices(self) -> Tensor:
        """The training images, counted in their order."""
        return torch.arange(len(self.train_labels))

    @property
    def files(self) -> tuple[FeatureFile, ...]:
        """None: these are images."""
        return ()

    @property
    def is_read(self) -> bool:
        """False."""
        return False

    def take(self, chosen: Tensor | None = None) -> Split:
        """Decode images of the pool, see `ImageFiles.decode`."""
        labels = self.train_labels if chosen is None else self.train_labels[chosen]
        return Split(images=self.train.only(chosen).decode(), labels=labels)

    def test_set(self) -> Split:
        """Decode the test set, see `ImageFiles.decode`."""
        return Split(images=self.test.decode(), labels=self.test_labels)

    def hashes(self, chosen: Tensor) -> Tensor:
        """Decode images of the pool for their hashes, see `ImageFiles.hashes`."""
        return self.train.only(chosen).hashes()


def open_image_folder(
    directory: Path, name: str | None = None, progress: Progress | None = None
) -> ImageFolder:
    """List the images of a folder; none is decoded but the first.

    Grey images stay of one channel where the first image is grey; otherwise all are read as RGB.

    Args:
        directory: holds ``train`` and ``test`` (or ``val``).
        name: what to call the source; None takes the directory's name.
        progress: called as images are decoded, with their number and that of all asked for.

    Raises:
        DataError: a folder is missing or empty, the classes of test are not those of train, or
            the first image is damaged; the file or folder is named.
    """
    train = directory / "train"
    if not train.is_dir():
        raise DataError(f"{directory} has no folder `train`.", remedy=_LAYOUT)
    test = next((directory / one for one in TEST_NAMES if (directory / one).is_dir()), None)
    if test is None:
        raise DataError(f"{directory} has no folder `test`.", remedy=_LAYOUT)
    classes, test_classes = class_names(train), class_names(test)
    _require_same_classes(train, test, classes, test_classes)
    train_paths, train_labels = _list_files(train, classes)
    test_paths, test_labels = _list_files(test, classes)
    images = open_images(train_paths, progress)
    return ImageFolder(
        name=name or directory.resolve().name,
        classes=classes,
        train=images,
        train_labels=torch.tensor(train_labels),
        test=replace(images, paths=test_paths),
        test_labels=torch.tensor(test_labels),
    )


def load_unlabelled_images(directory: Path, progress: Progress | None = None) -> torch.Tensor:
    """Read every image below a directory, whatever its folders are called.

    Args:
        directory: holds images, in folders or not; they come in the order of their paths.
        progress: as in `open_image_folder`.

    Returns:
        uint8, shape ``(n, channels, height, width)``.

    Raises:
        DataError: there is none, or one is damaged or of another size.
    """
    if not directory.is_dir():
        raise DataError(f"{directory} is no folder of images.", remedy="Name a folder.")
    return open_images(images_in(directory), progress).decode()


def class_names(folder: Path) -> tuple[str, ...]:
    """The classes of a folder such as ``train``: its folders in the order of their names.

    Raises:
        DataError: there is none.
    """
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise DataError(f"{folder} holds no class folder.", remedy=_LAYOUT)
    return tuple(names)


def _require_same_classes(
    train: Path, test: Path, classes: Sequence[str], test_classes: Sequence[str]
) -> None:
    for folder, missing in (
        (test, sorted(set(classes) - set(test_classes))),
        (train, sorted(set(test_classes) - set(classes))),
    ):
        if missing:
            raise DataError(
                f"{folder} has no folder for the class {missing[0]!r}"
                + (f" and {len(missing) - 1} more." if len(missing) > 1 else "."),
                remedy="Give both folders the same classes.",
            )
    if len(classes) < 2:
        raise DataError(
            f"{train} holds one class, {classes[0]!r}; two or more were expected.", remedy=_LAYOUT
        )


def _list_files(folder: Path, classes: Sequence[str]) -> tuple[list[str], list[int]]:
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = images_in(folder / name)
        files += found
        labels += [label] * len(found)
    return files, labels
