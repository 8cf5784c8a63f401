"""CIFAR-10 (Krizhevsky 2009): torchvision's files, an image folder, or a download."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dlgen_cli.datasets.image_files import Progress
from dlgen_cli.datasets.image_folder import is_image_folder, open_image_folder
from dlgen_cli.datasets.splits import Source, SourceData, Split
from dlgen_cli.errors import DataError

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

_BATCHES = "cifar-10-batches-py"


def default_directory() -> Path:
    """Where a download goes: ``$XDG_CACHE_HOME/dlgen/data``, else ``~/.cache/dlgen/data``."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "dlgen" / "data"


def has_batches(directory: Path) -> bool:
    """Whether a directory holds torchvision's files of CIFAR-10."""
    return (directory / _BATCHES).is_dir()


def open_cifar10(directory: Path | None = None, progress: Progress | None = None) -> Source:
    """Open the 50,000 training and 10,000 test images of CIFAR-10.

    Args:
        directory: holds torchvision's ``cifar-10-batches-py``, or ``train`` and ``test`` as an
            image folder; where it holds neither, the data are downloaded to it. None takes
            `default_directory`.
        progress: called as images are decoded.

    Returns:
        uint8 images of 3 x 32 x 32.

    Raises:
        DataError: the data are damaged, or are not there and cannot be downloaded.
    """
    folder = directory or default_directory()
    if is_image_folder(folder):
        return open_image_folder(folder, "cifar10 (image folder)", progress)
    train, test = _open(folder, train=True), _open(folder, train=False)
    return SourceData(
        name="cifar10",
        train=_split(train),
        test=_split(test),
        indices=torch.arange(len(train.targets)),
        classes=tuple(train.classes),
    )


def _open(folder: Path, *, train: bool) -> CIFAR10:
    from torchvision.datasets import CIFAR10

    present = has_batches(folder)
    try:
        return CIFAR10(str(folder), train=train, download=not present)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        found = "is damaged" if present else "is not there, and the download failed"
        raise DataError(
            f"CIFAR-10 in {folder} {found}: {reason}.".replace("..", "."),
            remedy=(
                f"Give --data a folder with torchvision's {_BATCHES}, or with train/ and "
                "test/ as image folders."
            ),
        ) from error


def _split(data: Any) -> Split:
    images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(data.data, 3, 1)))
    return Split(images=images, labels=torch.tensor(data.targets))
