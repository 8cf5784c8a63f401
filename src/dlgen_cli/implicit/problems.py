"""Linear regression problems: read from a file or generated. Rows are points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.implicit.arrays import SOLE, read_arrays, require_finite
from dlgen_cli.implicit.flow import FloatArray

_MOST_ENTRIES = 50_000_000
_LARGEST_CONDITION = 1e8


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Points and labels. Rows are points: the transpose of the ``X`` of the theory.

    Attributes:
        points: ``X``, shape ``(m, d)``.
        labels: ``y``, shape ``(m,)``.
        origin: where they come from, in words.
    """

    points: FloatArray
    labels: FloatArray
    origin: str


def read_problem(path: Path) -> Problem:
    """Read points and labels.

    Args:
        path: ``.npz`` or ``.safetensors`` with ``X`` of shape ``(m, d)`` and ``y`` of shape
            ``(m,)`` or ``(m, 1)``; or ``.csv`` with a point on each line, its label last.

    Raises:
        DataError: a key is missing, shapes do not fit, an entry is NaN or infinite, or there
            is no point.
    """
    arrays = read_arrays(path)
    if path.suffix.lower() == ".csv":
        table = arrays[SOLE]
        if table.shape[1] < 2:
            raise DataError(
                f"{path} has one column; at least one feature and, last, the label were expected.",
                remedy="Separate the cells by commas.",
            )
        arrays = {"X": table[:, :-1], "y": table[:, -1]}
    missing = [name for name in ("X", "y") if name not in arrays]
    if missing:
        found = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path} lacks {' and '.join(missing)}; it holds {found}.",
            remedy="Save X of shape (points, features) and y of shape (points,).",
        )
    return make_problem(arrays["X"], arrays["y"], f"{path}")


def make_problem(points: FloatArray, labels: FloatArray, origin: str) -> Problem:
    """Check points and labels.

    Args:
        points: shape ``(m, d)``.
        labels: shape ``(m,)`` or ``(m, 1)``.
        origin: for the report and for messages.

    Raises:
        DataError: shapes do not fit, an entry is not finite, there is no point, or all points
            are zero.
    """
    if points.ndim != 2 or points.size == 0:
        raise DataError(
            f"X in {origin} has shape {points.shape}; (points, features) was expected.",
            remedy="Save one point in each row, and at least one.",
        )
    if labels.shape not in {(len(points),), (len(points), 1)}:
        raise DataError(
            f"y in {origin} has shape {labels.shape}, X has {points.shape}; one label for each "
            f"row of X was expected: ({len(points)},).",
            remedy="Rows of X are points; transpose X if its columns are.",
        )
    require_finite(points, f"X in {origin}")
    require_finite(labels, f"y in {origin}")
    if not points.any():
        raise DataError(f"X in {origin} is zero.", remedy="Give points that are not all zero.")
    return Problem(points=points, labels=labels.reshape(-1), origin=origin)


def generate_problem(
    points: int, dim: int, seed: int, *, condition: float | None = None, rank: int | None = None
) -> Problem:
    """Draw a Gaussian problem that has a solution: ``y = X v`` for a Gaussian ``v``.

    Args:
        points: ``m >= 1``.
        dim: ``d >= 1``.
        seed: of everything drawn.
        condition: ratio of the largest to the smallest singular value of ``X``, spread
            geometrically; None leaves the Gaussian spectrum.
        rank: of ``X``; None for ``min(m, d)``.

    Raises:
        UsageError: a size is out of range.
    """
    full = min(points, dim)
    rank = full if rank is None else rank
    if points < 1 or dim < 1 or points * dim > _MOST_ENTRIES:
        raise UsageError(
            f"--points {points} and --dim {dim} were given; at least 1 each and at most "
            f"{_MOST_ENTRIES:,} entries were expected.",
            remedy="Give other sizes.",
        )
    if not 1 <= rank <= full:
        raise UsageError(
            f"--rank {rank} was given; {points} points of dimension {dim} have rank 1 to {full}.",
            remedy="Give another rank.",
        )
    if condition is not None and not 1.0 <= condition <= _LARGEST_CONDITION:
        raise UsageError(
            f"--condition {condition:g} was given; 1 to {_LARGEST_CONDITION:g} was expected.",
            remedy="A worse condition leaves no digit to compare.",
        )
    random = np.random.default_rng(seed)
    if condition is None and rank == full:
        matrix = random.standard_normal((points, dim))
    elif condition is None:
        left = random.standard_normal((points, rank))
        matrix = left @ random.standard_normal((rank, dim)) / math.sqrt(rank)
    else:
        left = np.linalg.qr(random.standard_normal((points, rank)))[0]
        right = np.linalg.qr(random.standard_normal((dim, rank)))[0]
        matrix = (left * np.geomspace(1.0, 1.0 / condition, rank)) @ right.T
    labels = matrix @ random.standard_normal(dim)
    return Problem(points=matrix, labels=labels, origin="generated")


def make_start(init: str, scale: float, dim: int, seed: int) -> FloatArray:
    """The start ``alpha = w(0)``.

    Args:
        init: ``zeros``, ``gaussian`` (standard normal entries), or a file: ``.npz`` or
            ``.safetensors`` with ``w``, ``.npy``, or ``.csv`` with one line or one column.
        scale: factor on it, at least 0.
        dim: number of entries.
        seed: of a Gaussian start.

    Returns:
        Shape ``(dim,)``.

    Raises:
        UsageError: ``init`` is neither of the words nor a file, or the scale is out of range.
        DataError: the file does not hold that many finite numbers.
    """
    if not (math.isfinite(scale) and scale >= 0):
        raise UsageError(
            f"--init-scale {scale:g} was given; a number of at least 0 was expected.",
            remedy="Give another scale.",
        )
    if init == "zeros":
        return np.zeros(dim)
    if init == "gaussian":
        # A stream of its own: the start must not repeat the numbers that drew the problem.
        return scale * np.random.default_rng([seed, 1]).standard_normal(dim)
    if not Path(init).suffix:
        raise UsageError(
            f"--init {init} was given; zeros, gaussian or a file was expected.",
            remedy="A file holds w, one number for each feature.",
        )
    arrays = read_arrays(Path(init))
    sole = next(iter(arrays.values())) if len(arrays) == 1 else None
    start = arrays.get("w", sole)
    if start is None or start.size != dim or max(start.shape, default=1) != dim:
        found = "no array w" if start is None else f"an array of shape {start.shape}"
        raise DataError(
            f"{init} holds {found}; {dim} numbers, one for each feature, were expected.",
            remedy="Save the start under the key w.",
        )
    return scale * require_finite(start, f"w in {init}").reshape(-1)
