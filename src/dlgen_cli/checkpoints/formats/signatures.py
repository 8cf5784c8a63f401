"""First bytes of files: formats are told by them and never by a suffix."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from dlgen_cli.checkpoints.stored import SourceFile, brief
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
    what, remedy = _description(head, path)
    return CheckpointError(
        f"{path} is no checkpoint: it {what}; {expected} was expected.", remedy=remedy
    )


_SAVE = "Save the weights with torch.save(model.state_dict(), ...) or safetensors."
#: How files of other kinds start, what they are, and what to do.
_STARTS = (
    (
        b"version https://git-lfs",
        "is a pointer of Git LFS, and the weights were not downloaded",
        "Run git lfs pull in its repository.",
    ),
    (b"\x89HDF", "is an HDF5 file, as Keras writes", _SAVE),
    (b"\x93NUMPY", "is a NumPy array (.npy)", "Save the weights by name: numpy.savez."),
    (b"\x1f\x8b", "is compressed with gzip", "Unpack it with gunzip or tar -xzf."),
    (b"BZh", "is compressed with bzip2", "Unpack it."),
    (b"\xfd7zXZ", "is compressed with xz", "Unpack it."),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "Unpack it."),
    (b"7z\xbc\xaf", "is a 7z archive", "Unpack it."),
    (b"Rar!", "is a RAR archive", "Unpack it."),
    (b"\x89PNG", "is a picture (PNG)", _SAVE),
    (b"\xff\xd8\xff", "is a picture (JPEG)", _SAVE),
    (b"%PDF", "is a PDF", _SAVE),
    (b"ggml", "is of GGML, the format before GGUF", "Convert it to GGUF."),
    (b"lmgg", "is of GGML, the format before GGUF", "Convert it to GGUF."),
    (b"tjgg", "is of GGML, the format before GGUF", "Convert it to GGUF."),
    (b"ARROW1", "is an Arrow table", _SAVE),
    (b"PAR1", "is a Parquet table", _SAVE),
)
#: Version of the format, then the name of the producer, a domain or the graph.
ONNX_START = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x42:]")
#: A map whose first key is a text.
_MSGPACK = re.compile(rb"([\x81-\x8f]|\xde..|\xdf....)[\xa0-\xbf\xd9-\xdb]", re.DOTALL)


def _description(head: bytes, path: Path) -> tuple[str, str]:
    """What a file is, and what to do."""
    for start, what, remedy in _STARTS:
        if head.startswith(start):
            return what, remedy
    if head[257:262] == b"ustar":
        return _tar(path)
    text = head.lstrip().lower()
    kinds = (
        (
            text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")),
            "is a web page (HTML or XML), such as servers send with an error",
            "Download the file itself.",
        ),
        (
            text.startswith((b"http://", b"https://", b"hf://", b"s3://", b"gs://")),
            "holds an address (URL) and no weights",
            "Download what it points to.",
        ),
        (head[4:8] == b"TFL3", "is a TensorFlow Lite model", _SAVE),
        (
            head.startswith((b"(", b"\x80\x01")),
            "starts like a pickle of a protocol before 2",
            "Save it again with torch.save.",
        ),
        (
            _MSGPACK.match(head),
            "looks like msgpack, as Flax writes",
            "Save the weights as safetensors.",
        ),
    )
    known = next(((what, remedy) for is_it, what, remedy in kinds if is_it), None)
    return known or (f"starts with {head[:8]!r}", _SAVE)


def _tar(path: Path) -> tuple[str, str]:
    try:
        with tarfile.open(path) as archive:
            names = [entry.name for _, entry in zip(range(_MOST_LISTED), archive, strict=False)]
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        names = []
    weights = next((name for name in names if name.endswith("model_weights.ckpt")), None)
    if weights is not None or any(name.endswith("model_config.yaml") for name in names):
        return "is a NeMo archive", f"Unpack {weights or 'its weights'} with tar -xf."
    inside = next((name for name in names if name.endswith(_WEIGHTS)), None)
    if inside is not None:
        return "is a tar archive", f"Unpack {brief(inside)} with tar -xf."
    return "is a tar archive, such as torch wrote before version 0.2", _SAVE


_MOST_LISTED = 1_000
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".npz")


def other_zip(names: Sequence[str]) -> tuple[str, str]:
    """What a zip archive without the pickle of torch is, and what to do."""
    ends = {name.rsplit("/", 1)[-1] for name in names}
    if "model.weights.h5" in ends or {"config.json", "metadata.json"} <= ends:
        return "is a Keras archive", "Convert it: dlgen reads no Keras files."
    if any(name.endswith("serialized_exported_program.json") for name in names) or any(
        "/models/" in f"/{name}" and name.endswith(".json") for name in names
    ):
        return (
            "is a program of torch.export, damaged or of an older version",
            "Save it again with torch.export.save of torch 2.11 or later.",
        )
    if "[Content_Types].xml" in ends:
        return "is an Office document", _SAVE
    inside = next((name for name in names if name.endswith(_WEIGHTS)), None)
    if inside is not None:
        return "is a zip archive around a checkpoint", f"Unpack {brief(inside)} and pass it."
    return "is a zip archive without data.pkl, and so none of torch", _SAVE
