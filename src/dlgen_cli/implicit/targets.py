"""The matrix that a factorization is to reach: from a file, an array or a spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.implicit.arrays import read_arrays, require_finite
from dlgen_cli.implicit.flow import FloatArray

#: Singular values and starts are kept within this range, so that no power of them overflows.
SMALLEST, LARGEST = 1e-60, 1e60
_LARGEST_SIZE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A matrix ``W*`` with its thin singular value decomposition.

    Attributes:
        matrix: shape ``(rows, columns)``.
        left: ``U``, shape ``(rows, k)`` with ``k = min(rows, columns)``.
        values: ``s``, shape ``(k,)``, descending.
        right: ``V^T``, shape ``(k, columns)``.
        origin: what it was made from, in words.
    """

    matrix: FloatArray
    left: FloatArray
    values: FloatArray
    right: FloatArray
    origin: str

    @property
    def rate(self) -> float:
        """``c = 1 / (d d')``, one over the number of entries."""
        return 1.0 / self.matrix.size


def generate_target(spectrum: str, shape: str | None, seed: int) -> Target:
    """Make a target from what the user typed.

    Args:
        spectrum: singular values separated by commas.
        shape: rows and columns separated by a comma, or one number for both; None for a square
            matrix of as many rows as there are values.
        seed: of the singular vectors.

    Raises:
        UsageError: a text is no list of numbers, or the numbers do not fit.
    """
    values = _numbers("--spectrum", spectrum)
    sizes = [float(len(values))] if shape is None else _numbers("--dim", shape)
    if len(sizes) > 2 or not all(1 <= size <= _LARGEST_SIZE and size % 1 == 0 for size in sizes):
        raise UsageError(
            f"--dim {shape} was given; rows and columns, at most {_LARGEST_SIZE:,}, were expected.",
            remedy="For example: 10,8.",
        )
    return from_spectrum(values, (int(sizes[0]), int(sizes[-1])), seed)


def from_spectrum(spectrum: Sequence[float], shape: tuple[int, int], seed: int) -> Target:
    """Make a matrix of given singular values and random singular vectors.

    Args:
        spectrum: singular values, each at least 0; the rest of them are 0.
        shape: rows and columns, each at least the number of singular values.
        seed: of the singular vectors.

    Raises:
        UsageError: a value is negative or out of range, all are 0, or the shape is too small.
    """
    values = np.zeros(min(shape))
    if not spectrum or len(spectrum) > min(shape):
        raise UsageError(
            f"A matrix of shape {shape[0]} x {shape[1]} has {min(shape)} singular values; "
            f"--spectrum gives {len(spectrum)}.",
            remedy="Give at least one value, and a --dim that holds them all.",
        )
    values[: len(spectrum)] = sorted(spectrum, reverse=True)
    _check_values(values)
    random = np.random.default_rng(seed)
    left = np.linalg.qr(random.standard_normal((shape[0], len(values))))[0]
    right = np.linalg.qr(random.standard_normal((shape[1], len(values))))[0].T
    return Target(
        matrix=(left * values) @ right,
        left=left,
        values=values,
        right=right,
        origin="prescribed spectrum",
    )


def from_matrix(array: FloatArray, origin: str) -> Target:
    """Decompose a matrix.

    Args:
        array: at least two axes; all but the first are joined, as for a convolution.
        origin: where it comes from, for the report and for messages.

    Raises:
        DataError: it has fewer than two axes, is empty, or holds NaN or infinity.
        UsageError: it is zero, or its singular values are out of range.
    """
    if array.ndim < 2 or array.size == 0:
        raise DataError(
            f"{origin} has shape {array.shape}; a matrix with at least one entry was expected.",
            remedy="Name a matrix: a weight, not a bias.",
        )
    flat = require_finite(array, origin).reshape(array.shape[0], -1)
    left, values, right = np.linalg.svd(flat, full_matrices=False)
    _check_values(values)
    return Target(matrix=flat, left=left, values=values, right=right, origin=origin)


def read_target(path: Path) -> Target:
    """Read a matrix from ``.npy``, ``.npz`` or ``.csv``.

    An archive holds it under ``W``, or holds nothing else.

    Raises:
        DataError: the file is missing, malformed, or holds no such matrix.
    """
    arrays = read_arrays(path)
    if "W" in arrays:
        return from_matrix(arrays["W"], f"{path}")
    if len(arrays) == 1:
        return from_matrix(next(iter(arrays.values())), f"{path}")
    raise DataError(
        f"{path} holds {', '.join(arrays) or 'no array'}; one matrix was expected.",
        remedy="Save it under the key W.",
    )


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(
            f"{name} {text} was given; numbers separated by commas were expected.",
            remedy="For example: 5,3,1.",
        ) from None


def _check_values(values: FloatArray) -> None:
    if not np.isfinite(values).all() or (values < 0).any() or values[0] == 0:
        raise UsageError(
            "The target's singular values must be finite, at least 0 and not all 0.",
            remedy="Give another --spectrum or --target.",
        )
    if not SMALLEST <= values[0] <= LARGEST:
        raise UsageError(
            f"The target's largest singular value is {values[0]:.3g}; between {SMALLEST:g} and "
            f"{LARGEST:g} was expected.",
            remedy="Scale the target.",
        )
