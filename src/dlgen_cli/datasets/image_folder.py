"""Image folders: ``DIR/train/<class>/*`` and ``DIR/test/<class>/*``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from dlgen_cli.datasets.splits import SourceData, Split
from dlgen_cli.errors import DataError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
TEST_NAMES = ("test", "val", "valid", "validation")
#: Called as work gets done: what it is, pieces done, pieces in all.
Progress = Callable[[str, int, int], None]
_IMAGES_BETWEEN_REPORTS = 100
_LAYOUT = "Lay them out as DIR/train/<class>/*.png and DIR/test/<class>/*.png."


def is_image_folder(directory: Path) -> bool:
    """Whether the directory has the layout that `load_image_folder` reads."""
    return (directory / "train").is_dir()


def load_image_folder(
    directory: Path, name: str | None = None, progress: Progress | None = None
) -> SourceData:
    """Read and decode every image once.

    The classes are the folders of ``train`` in the order of their names. Images come in the
    order of their class, then of their file's name. Grey images stay of one channel where the
    first image is grey; otherwise all are read as RGB.

    Args:
        directory: holds ``train`` and ``test`` (or ``val``).
        name: what to call the source; None takes the directory's name.
        progress: called as images are decoded, with their number and that of all.

    Returns:
        uint8 images; ``indices`` counts the training images in that order.

    Raises:
        DataError: a folder is missing or empty, the classes of test are not those of train, or
            an image is damaged or of another size; the file or folder is named.
    """
    train = directory / "train"
    if not train.is_dir():
        raise DataError(f"{directory} has no folder `train`.", remedy=_LAYOUT)
    test = next((directory / one for one in TEST_NAMES if (directory / one).is_dir()), None)
    if test is None:
        raise DataError(f"{directory} has no folder `test`.", remedy=_LAYOUT)
    classes, test_classes = class_names(train), class_names(test)
    _require_same_classes(train, test, classes, test_classes)
    train_files, train_labels = _list_files(train, classes)
    test_files, test_labels = _list_files(test, classes)
    images = _decode_all([*train_files, *test_files], progress)
    count = len(train_files)
    return SourceData(
        name=name or directory.resolve().name,
        train=Split(images=images[:count], labels=torch.tensor(train_labels)),
        test=Split(images=images[count:], labels=torch.tensor(test_labels)),
        indices=torch.arange(count),
        classes=classes,
    )


def load_unlabelled_images(directory: Path, progress: Progress | None = None) -> torch.Tensor:
    """Read every image below a directory, whatever its folders are called.

    Args:
        directory: holds images, in folders or not; they come in the order of their paths.
        progress: as in `load_image_folder`.

    Returns:
        uint8, shape ``(n, channels, height, width)``.

    Raises:
        DataError: there is none, or one is damaged or of another size.
    """
    if not directory.is_dir():
        raise DataError(f"{directory} is no folder of images.", remedy="Name a folder.")
    return _decode_all(_images_in(directory), progress)


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


def _list_files(folder: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _images_in(folder / name)
        files += found
        labels += [label] * len(found)
    return files, labels


def _images_in(folder: Path) -> list[Path]:
    """All images below a folder, in the order of their paths."""
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not found:
        raise DataError(
            f"{folder} holds no image.",
            remedy=f"Images end in one of {', '.join(sorted(SUFFIXES))}.",
        )
    return found


def _decode_all(files: Sequence[Path], progress: Progress | None) -> torch.Tensor:
    first = _decode(files[0], grey=_is_grey(files[0]))
    grey = first.shape[0] == 1
    stacked = np.empty((len(files), *first.shape), dtype=np.uint8)

    def fill(position: int) -> None:
        pixels = _decode(files[position], grey=grey)
        if pixels.shape != first.shape:
            raise DataError(
                f"{files[position]} has {_size(pixels)} pixels; {_size(first)} were expected, as "
                f"in {files[0].name}.",
                remedy="Bring all images to one size.",
            )
        stacked[position] = pixels

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(fill, range(len(files))), 1):
            if progress is not None and done % _IMAGES_BETWEEN_REPORTS == 0:
                progress("decoding images", done, len(files))
    return torch.from_numpy(stacked)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[2]} x {pixels.shape[1]}"


def _is_grey(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.mode in {"1", "L"}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(path, error) from error


def _decode(path: Path, *, grey: bool) -> np.ndarray:
    """Channels first, uint8."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # converting these would clip them at 255
                raise DataError(
                    f"{path} has more than 8 bits for each value; 8 were expected.",
                    remedy="Convert it to 8 bits.",
                )
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(path, error) from error
    return pixels[None] if grey else np.moveaxis(pixels, 2, 0)


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(
        f"{path} cannot be read as an image: {reason}.".replace("..", "."),
        remedy="Replace or remove the file.",
    )
