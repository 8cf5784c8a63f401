"""Many small matrices of one shape, enclosed together: what is proved of each is as in `dense`.

One call for all of them costs a small part of a call for each. A result does not depend on which
matrices stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.rounding import SLACK, UNDERFLOW, gamma

#: Entries of the largest matrix that is measured with others.
MOST_ENTRIES = 1 << 10

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Enclosures:
    """What is proved of one matrix.

    Attributes:
        singular_values: all of them, descending.
        sum_of_squares: of its entries.
    """

    singular_values: tuple[Interval, ...]
    sum_of_squares: Interval


def enclose_each(stack: torch.Tensor) -> list[Enclosures]:
    """Enclose the singular values and the sum of squares of each matrix of a stack.

    Args:
        stack: shape ``(n, o, i)``, float64, on the CPU, finite, at most `MOST_ENTRIES` entries in
            each matrix.

    Raises:
        numpy.linalg.LinAlgError: the decomposition of one does not converge.
    """
    with np.errstate(over="ignore", under="ignore"):
        array = stack.numpy()
        lower, upper = _singular_values(array)
        least, most = _sums_of_squares(array)
    return [
        Enclosures(
            singular_values=tuple(map(_interval, *ends)),
            sum_of_squares=Interval(lower=one, upper=two),
        )
        for ends, one, two in zip(
            zip(lower.tolist(), upper.tolist(), strict=True),
            least.tolist(),
            most.tolist(),
            strict=True,
        )
    ]


def _interval(lower: float, upper: float) -> Interval:
    return Interval(lower=lower, upper=upper)


def _sums_of_squares(array: Array) -> tuple[Array, Array]:
    flat = array.reshape(len(array), -1)
    total = np.square(flat).sum(axis=1)
    error = gamma(flat.shape[1] + 4) * SLACK
    lost = np.where((flat != 0).any(axis=1), 2.0**-1074 * flat.shape[1], 0.0)  # underflow
    return total * (1 - error), total * (1 + error) + lost


def _singular_values(array: Array) -> tuple[Array, Array]:
    """Lower and upper ends, each of shape ``(n, min(o, i))``."""
    largest = np.abs(array).max(axis=(1, 2))
    exponents = np.frexp(largest)[1]  # largest = m 2^exponent, 1/2 <= m < 1
    scaled = np.ldexp(array, -exponents[:, None, None])
    left, values, right_t = np.linalg.svd(scaled, full_matrices=False)
    residual = _residual_norms(scaled, left, values, right_t)
    defect = _orthogonality_defects(left) + _orthogonality_defects(right_t.swapaxes(1, 2))
    widen = (1.0 + defect / 2) * SLACK  # sqrt((1+a)(1+b)) <= 1 + (a+b)/2
    narrow = np.maximum(0.0, 1.0 - defect * SLACK)
    lower = np.maximum(0.0, (values * narrow[:, None] - residual[:, None]) / SLACK)
    upper = (values * widen[:, None] + residual[:, None]) * SLACK
    lower = np.nextafter(np.ldexp(lower, exponents[:, None]), 0.0)
    upper = np.nextafter(np.ldexp(upper, exponents[:, None]), np.inf)
    is_zero = (largest == 0.0)[:, None]
    return np.where(is_zero, 0.0, lower), np.where(is_zero, 0.0, upper)


def _frobenius_upper(array: Array) -> Array:
    flat = array.reshape(len(array), -1)
    total = np.square(flat).sum(axis=1)
    found: Array = np.sqrt(total * (1 + gamma(flat.shape[1] + 2))) * SLACK + UNDERFLOW
    return found


def _residual_norms(array: Array, left: Array, values: Array, right_t: Array) -> Array:
    """Upper bounds on ``||W - U S V^T||_2``."""
    scaled_left = left * values[:, None, :]
    computed = _frobenius_upper(array - scaled_left @ right_t)
    magnitude = _frobenius_upper(np.abs(scaled_left) @ np.abs(right_t))
    terms = values.shape[1]
    return (computed * (1 + gamma(1)) + gamma(terms + 4) * magnitude) * SLACK + UNDERFLOW


def _orthogonality_defects(columns: Array) -> Array:
    """Upper bounds on ``||I - U^T U||_2`` for tall matrices U."""
    rows = columns.swapaxes(1, 2)
    computed = _frobenius_upper(rows @ columns - np.eye(columns.shape[2]))
    magnitude = _frobenius_upper(np.abs(rows) @ np.abs(columns))
    terms = columns.shape[1]
    return (computed * (1 + gamma(1)) + gamma(terms + 4) * magnitude) * SLACK + UNDERFLOW
