"""First bytes of files: formats are told by them and never by a suffix."""

from __future__ import annotations

from pathlib import Path

from dlgen_cli.checkpoints.stored import SourceFile
from dlgen_cli.errors import CheckpointError

_HEAD = 512  # bytes


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file, 512 at most.

    Raises:
        CheckpointError: the path is empty or no regular file.
        OSError: the file cannot be read.
    """
    return SourceFile.at(path).read(0, _HEAD)


def header_size(head: bytes) -> int | None:
    """Bytes that the header of a safetensors file claims; None where there can be none."""
    return int.from_bytes(head[:8], "little") if head[8:9] == b"{" else None


def unknown(path: Path, expected: str) -> CheckpointError:
    """What is said of a file whose first bytes are of no format that was expected.

    Args:
        path: the file.
        expected: the formats, in words.
    """
    head = first_bytes(path)
    header = header_size(head)
    if header is not None:
        return CheckpointError(
            f"{path} looks like safetensors, but its header claims {header:,} bytes of a file "
            f"of {path.stat().st_size:,}.",
            remedy="Check that it was copied in full.",
        )
    return CheckpointError(
        f"{path} is no checkpoint: it {_description(head)}; {expected} was expected.",
        remedy="Save the weights with torch.save(model.state_dict(), ...) or safetensors.",
    )


def _description(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "is a tar archive, such as torch wrote before version 0.2"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, and the weights were not downloaded"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file"
    return f"starts with {head[:8]!r}"
