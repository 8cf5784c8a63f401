"""Embeddings as examples: a row of numbers for each, made by any model and any tool."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from dlgen_cli.datasets.splits import FeatureFile, SourceData, Split
from dlgen_cli.errors import DataError

#: What a file of features must hold: rows and labels of the training pool and of the test set.
ARRAYS = ("train_x", "train_y", "test_x", "test_y")
#: What a file of features without labels must hold.
UNLABELLED = ("x",)
_ZIP = b"PK\x03\x04"
#: The ways in which a zip archive, an array or its header can be damaged.
DAMAGES = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_features(paths: Sequence[Path]) -> SourceData:
    """Read features; several files of the same examples are joined column by column.

    No pickle is read and nothing is scaled: rows are taken to float32 as they are.

    Args:
        paths: npz or safetensors files with `ARRAYS`, told by content; rows of shape ``(n, d)``,
            labels whole numbers from 0, shape ``(n,)``.

    Returns:
        A source whose images are rows of shape ``(n, d)``, d over all files; ``indices`` counts
        the training rows, and classes are called by their numbers.

    Raises:
        DataError: a file cannot be read, lacks an array, or holds what no head could be trained
            on; or the files do not have the same labels.
    """
    tables = [_read(path, ARRAYS) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        _require_fit(path, table)
    first = tables[0]
    for path, table in zip(paths[1:], tables[1:], strict=True):
        for name in ("train_y", "test_y"):
            if not np.array_equal(first[name], table[name]):
                raise DataError(
                    f"{name} of {path} and of {paths[0]} differ; files are joined that hold the "
                    "same examples in the same order.",
                    remedy="Compute the features of all files over one list of examples.",
                )
    parts = {
        part: Split(
            images=torch.from_numpy(_joined([table[f"{part}_x"] for table in tables])),
            labels=torch.from_numpy(first[f"{part}_y"]),
        )
        for part in ("train", "test")
    }
    classes = _count_classes(paths[0], first)
    return SourceData(
        name=" + ".join(path.name for path in paths),
        **parts,
        indices=torch.arange(len(parts["train"])),
        classes=tuple(str(label) for label in range(classes)),
        files=tuple(
            FeatureFile(name=path.name, sha256=_digest(path), columns=table["train_x"].shape[1])
            for path, table in zip(paths, tables, strict=True)
        ),
    )


def load_unlabelled_features(paths: Sequence[Path]) -> tuple[torch.Tensor, tuple[FeatureFile, ...]]:
    """Read rows without labels; several files of the same examples are joined column by column.

    Args:
        paths: npz or safetensors files with the array ``x``, shape ``(n, d)``.

    Returns:
        Rows of float32, shape ``(n, d)`` with d over all files, and the files.

    Raises:
        DataError: a file cannot be read, or their rows differ in number.
    """
    parts = [_read(path, UNLABELLED)["x"] for path in paths]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if len(part) != len(parts[0]):
            raise DataError(
                f"{path} holds {len(part):,} rows and {paths[0]} {len(parts[0]):,}; the same "
                "examples in the same order were expected."
            )
    files = tuple(
        FeatureFile(name=path.name, sha256=_digest(path), columns=part.shape[1])
        for path, part in zip(paths, parts, strict=True)
    )
    return torch.from_numpy(_joined(parts)), files


def _read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a file, checked one by one."""
    arguments = ", ".join(f"{name}=…" for name in names)
    remedy = f"Write numpy.savez(FILE, {arguments}), or a safetensors file with these names."
    try:
        with path.open("rb") as file:
            start = file.read(len(_ZIP))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from error
    try:
        arrays = _read_npz(path, names) if start == _ZIP else _read_safetensors(path, names)
    except DAMAGES as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        if "Object arrays" in reason or "pickle" in reason:
            reason = "an array of Python objects, which only a pickle could hold, is never read"
        raise DataError(f"{path} is no file of features: {reason}.", remedy=remedy) from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{path} holds no {', '.join(missing)}.", remedy=remedy)
    return {
        name: _rows(path, name, one) if name.endswith("x") else _labels(path, name, one)
        for name, one in arrays.items()
    }


def _read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files if name in names}


def _read_safetensors(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    with safe_open(path, framework="pt") as stored:
        found = {name: stored.get_tensor(name) for name in stored.keys() if name in names}  # noqa: SIM118  it is no mapping
    return {
        name: (one.float() if one.is_floating_point() else one).numpy()
        for name, one in found.items()
    }


def _rows(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        raise DataError(
            f"{name} of {path} has shape {array.shape} and type {array.dtype}; numbers of shape "
            "(examples, features) were expected.",
            remedy="Flatten what the model gives for each example to one row.",
        )
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{name} of {path} holds a NaN or an infinity in row {int(finite.argmin())}, counted "
            "from 0; finite numbers of float32 were expected.",
            remedy="Leave out such examples, or mend the model that made them.",
        )
    return rows


def _labels(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array) or array.min() < 0:
        raise DataError(
            f"{name} of {path} has shape {array.shape} and type {array.dtype}; one whole number "
            "from 0 for each example was expected.",
            remedy="Number the classes from 0 and store them as int64.",
        )
    return array.astype(np.int64)


def _require_fit(path: Path, table: Mapping[str, np.ndarray]) -> None:
    for part in ("train", "test"):
        rows, labels = len(table[f"{part}_x"]), len(table[f"{part}_y"])
        if rows != labels:
            raise DataError(
                f"{path} holds {rows:,} rows in {part}_x and {labels:,} labels in {part}_y; one "
                "label for each row was expected."
            )
    train, test = table["train_x"].shape[1], table["test_x"].shape[1]
    if train != test:
        raise DataError(
            f"{path} holds {train:,} features in train_x and {test:,} in test_x; the same model "
            "must have made both."
        )


def _count_classes(path: Path, table: Mapping[str, np.ndarray]) -> int:
    examples = len(table["train_y"]) + len(table["test_y"])
    largest = max(int(table["train_y"].max()), int(table["test_y"].max()))
    if not 1 <= largest < examples:
        raise DataError(
            f"The largest label of {path} is {largest:,}; two classes or more, and fewer than the "
            f"{examples:,} examples, numbered from 0 were expected.",
            remedy="Number the classes from 0 without gaps.",
        )
    return largest + 1


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
