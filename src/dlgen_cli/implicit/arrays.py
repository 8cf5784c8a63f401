"""Arrays from files: ``.npz``, ``.npy``, ``.safetensors`` and ``.csv``, as float64."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlgen_cli.errors import DataError
from dlgen_cli.implicit.flow import FloatArray

#: The name under which a file without names gives its one array.
SOLE = "array"


def read_arrays(path: Path) -> dict[str, FloatArray]:
    """Read every array of a file.

    Args:
        path: ``.npz`` and ``.safetensors`` hold named arrays; ``.npy`` and ``.csv`` hold one,
            returned under `SOLE`. A first line of a CSV file that is not all numbers is taken
            as its header.

    Returns:
        The arrays by name, as float64.

    Raises:
        DataError: the file is missing, empty or malformed, of another kind, or an array holds
            something else than real numbers.
    """
    readers: dict[str, Callable[[Path], dict[str, NDArray[np.generic]]]] = {
        ".npz": _read_numpy,
        ".npy": _read_numpy,
        ".safetensors": _read_safetensors,
        ".csv": _read_csv,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"The suffix of {path} names no kind of data; {', '.join(readers)} do.",
            remedy="Save the arrays with numpy.savez.",
        )
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise DataError(f"{path} is empty.", remedy="Check that it was written in full.")
        arrays = reader(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}.",
            remedy="Check the path and its permissions.",
        ) from error
    return {name: _as_float64(array, name, path) for name, array in arrays.items()}


#: Largest magnitudes whose squares and products stay in the floats.
_LEAST, _MOST = 1e-60, 1e60


def require_finite(array: FloatArray, what: str) -> FloatArray:
    """The array itself.

    Raises:
        DataError: an entry is NaN or infinite, or the scale is so extreme that squares leave
            the floats.
    """
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise DataError(
            f"{what} holds {bad} NaN or infinite {'entry' if bad == 1 else 'entries'}.",
            remedy="Remove them: finite numbers were expected.",
        )
    largest = float(np.abs(array).max()) if array.size else 0.0
    if largest and not _LEAST <= largest <= _MOST:
        raise DataError(
            f"{what} has entries of magnitude {largest:.3g}; {_LEAST:g} to {_MOST:g} was expected.",
            remedy="Rescale the data: the theory does not depend on the unit.",
        )
    return array


def _as_float64(array: NDArray[np.generic], name: str, path: Path) -> FloatArray:
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{name} in {path} is of type {array.dtype}; real numbers were expected.",
            remedy="Save it as float64.",
        )
    return array.astype(np.float64)


def _read_numpy(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {SOLE: loaded}
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not a whole numpy file ({error}).",
            remedy="Save plain arrays with numpy.savez, without pickled objects.",
        ) from error


def _read_safetensors(path: Path) -> dict[str, NDArray[np.generic]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read as safetensors of numpy types ({error}).",
            remedy="Save float32 or float64 tensors.",
        ) from error


def _read_csv(path: Path) -> dict[str, NDArray[np.generic]]:
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in enumerate(csv.reader(file), start=1):
                if not any(cell.strip() for cell in cells):
                    continue
                row = _numbers(cells)
                if row is None and number > 1:
                    raise DataError(
                        f"Line {number} of {path} holds a cell that is no number.",
                        remedy="Numbers separated by commas were expected.",
                    )
                if row is None:
                    continue
                if rows and len(row) != len(rows[0]):
                    raise DataError(
                        f"Line {number} of {path} has {len(row)} cells; those before have "
                        f"{len(rows[0])}.",
                        remedy="Give every line the same number of cells.",
                    )
                rows.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} is not text separated by commas ({error}).", remedy="Save it as UTF-8."
        ) from error
    if not rows:
        raise DataError(f"{path} holds no line of numbers.", remedy="Check that it is not empty.")
    return {SOLE: np.array(rows, dtype=np.float64)}


def _numbers(cells: list[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None
