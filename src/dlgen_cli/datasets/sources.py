"""Sources by name: ``cifar10``, ``digits``, or a directory of images."""

from __future__ import annotations

from pathlib import Path

from dlgen_cli.datasets.cifar10 import has_batches, open_cifar10
from dlgen_cli.datasets.digits import load_digits
from dlgen_cli.datasets.image_files import Progress
from dlgen_cli.datasets.image_folder import is_image_folder, open_image_folder
from dlgen_cli.datasets.splits import Source, SourceData, read_all
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


def open_source(
    name: str, data_dir: Path | None = None, progress: Progress | None = None
) -> Source:
    """Open a source; images in files are not decoded before they are asked for.

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
        return open_cifar10(data_dir, progress)
    path = Path(name)
    if has_batches(path) and not is_image_folder(path):
        return open_cifar10(path, progress)
    return open_image_folder(path, progress=progress)


def load_source(name: str, data_dir: Path | None = None) -> SourceData:
    """Open a source and read all of it, see `open_source`."""
    return read_all(open_source(name, data_dir))
