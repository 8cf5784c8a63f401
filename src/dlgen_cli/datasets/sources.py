"""Sources by name: ``cifar10``, ``digits``, or a directory of images."""

from __future__ import annotations

from pathlib import Path

from dlgen_cli.datasets.cifar10 import has_batches, load_cifar10
from dlgen_cli.datasets.digits import load_digits
from dlgen_cli.datasets.image_folder import Progress, is_image_folder, load_image_folder
from dlgen_cli.datasets.splits import SourceData
from dlgen_cli.errors import UsageError
from dlgen_cli.records import SOURCES


def source_names() -> tuple[str, ...]:
    """The sources that have a name, sorted."""
    return SOURCES


def require_source(name: str) -> None:
    """Check that a source exists, without reading it.

    Raises:
        UsageError: it is neither a name nor a directory.
    """
    if name not in source_names() and not Path(name).is_dir():
        raise UsageError(
            f"--data {name!r} is neither a known source nor a directory.",
            remedy=f"Give {', '.join(source_names())}, or a directory with train/ and test/.",
        )


def load_source(
    name: str, data_dir: Path | None = None, progress: Progress | None = None
) -> SourceData:
    """Load a source.

    Args:
        name: one of `source_names`, or the path of an image folder or of torchvision's files
            of CIFAR-10.
        data_dir: where cifar10 has its files; the others do not need it.
        progress: called as images are decoded.

    Returns:
        Its training pool and test set.

    Raises:
        UsageError: there is no such source.
        DataError: its files are missing or damaged.
    """
    require_source(name)
    if name == "digits":
        return load_digits()
    if name == "cifar10":
        return load_cifar10(data_dir, progress)
    path = Path(name)
    if has_batches(path) and not is_image_folder(path):
        return load_cifar10(path, progress)
    return load_image_folder(path, progress=progress)
