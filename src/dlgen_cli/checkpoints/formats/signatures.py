"""The format of a file, told by its first bytes and never by its suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dlgen_cli.checkpoints.stored import SourceFile
from dlgen_cli.errors import CheckpointError

_SAFETENSORS_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit

FileKind = Literal["safetensors", "torch", "gguf", "index"]


def sniff(path: Path) -> FileKind:
    """Tell the format of a file by its first bytes.

    Raises:
        CheckpointError: they are no checkpoint's, or the path is no regular file.
        OSError: the file cannot be read.
    """
    file = SourceFile.at(path)
    head = file.read(0, 512)
    # safetensors first: the length of its header may happen to start like a pickle
    header = int.from_bytes(head[:8], "little") if head[8:9] == b"{" else None
    if header is not None and header <= _SAFETENSORS_HEADER_LIMIT:
        return "safetensors"
    if head.startswith(b"PK\x03\x04") or (head[:1] == b"\x80" and head[1:2] in _PROTOCOLS):
        return "torch"
    if head.startswith(b"GGUF"):
        return "gguf"
    if head.lstrip()[:1] == b"{":
        return "index"
    if header is not None:
        raise CheckpointError(
            f"{path} looks like safetensors, but its header claims {header:,} bytes of a file "
            f"of {file.size:,}.",
            remedy="Check that it was copied in full.",
        )
    raise CheckpointError(
        f"{path} is no checkpoint: it {_description(head)}; safetensors, a torch file, GGUF, an "
        "index of shards or a checkpoint directory was expected.",
        remedy="Save the weights with torch.save(model.state_dict(), ...) or safetensors.",
    )


_PROTOCOLS = {b"\x02", b"\x03", b"\x04", b"\x05"}


def _description(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "is a tar archive, such as torch wrote before version 0.2"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, and the weights were not downloaded"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file"
    return f"starts with {head[:8]!r}"
