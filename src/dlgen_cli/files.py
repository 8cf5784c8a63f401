"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dlgen_cli.errors import OutputError


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it and rename it: a reader sees old or new.

    A link stays a link. A pipe or a device is written to, not replaced.

    Args:
        path: the file; its folder exists.
        content: all of it.

    Raises:
        OSError: it cannot be written; what stood there stands.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that the user asked for, as `replace_file`.

    Raises:
        OutputError: its folder is missing or cannot be written to.
    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise OutputError(
            f"{path.resolve()} cannot be written: {error.strerror}.",
            remedy="Check that its folder exists and can be written to.",
        ) from error
