"""Singular values of a product of two thin factors, enclosed; the product is never formed.

With decompositions ``B = Q_1 R_1 + E_1`` and ``A^T = Q_2 R_2 + E_2``,

    B A = Q_1 C Q_2^T + (E_1 A + Q_1 R_1 E_2^T),    C = R_1 R_2^T,

so the singular values of ``B A`` are those of the small C, up to the defects of the columns of Q
and the norm of the rest (Weyl). As in `dlgen_cli.spectra.dense`, the decompositions are only
witnesses: defects and rests are evaluated, with their own rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.dense import singular_value_bounds
from dlgen_cli.spectra.rounding import SLACK, UNDERFLOW, gamma
from dlgen_cli.spectra.scaling import with_exponent, without_exponent
from dlgen_cli.spectra.sums import sum_of_squares


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductNorms:
    """What is known of a product.

    Attributes:
        singular_values: all but those that are exactly zero by the inner size, descending.
        frobenius_norm: of the product.
    """

    singular_values: Sequence[Interval]
    frobenius_norm: Interval


def product_norms(left: torch.Tensor, right: torch.Tensor) -> ProductNorms:
    """Enclose the singular values and the Frobenius norm of ``B A``.

    Args:
        left: B, shape ``(o, r)``, finite, with entries.
        right: A, shape ``(r, i)``, finite, with entries.

    Returns:
        ``min(o, r, i)`` singular values.
    """
    if not (bool(left.any()) and bool(right.any())):
        zeros = (Interval(lower=0.0, upper=0.0),) * min(*left.shape, right.shape[1])
        return ProductNorms(singular_values=zeros, frobenius_norm=zeros[0])
    (left, first), (right, second) = without_exponent(left), without_exponent(right.mT)
    one, two = _decomposed(left), _decomposed(right)
    core = one.factor @ two.factor.mT
    inner = left.shape[1]
    rounding = gamma(inner + 4) * _norm(one.factor.abs() @ two.factor.mT.abs()) + UNDERFLOW
    rest = one.rest * _norm(right) + (1 + one.defect) * _norm(one.factor) * two.rest
    error = (rest + (1 + one.defect) * (1 + two.defect) * rounding) * SLACK * SLACK
    widen = (1 + one.defect) * (1 + two.defect) * SLACK
    narrow = max(0.0, 1 - (one.defect + two.defect) * SLACK)

    def placed(exact_of_core: Interval) -> Interval:
        lower = max(0.0, exact_of_core.lower * narrow / SLACK - error) / SLACK
        upper = (exact_of_core.upper * widen + error) * SLACK
        return Interval(
            lower=with_exponent(lower, first + second, toward=0.0),
            upper=with_exponent(upper, first + second, toward=math.inf),
        )

    squares = sum_of_squares(core)
    frobenius = Interval(
        lower=math.sqrt(squares.lower) / SLACK, upper=math.sqrt(squares.upper) * SLACK
    )
    values = singular_value_bounds(core)[: min(left.shape[0], right.shape[0], inner)]
    return ProductNorms(
        singular_values=tuple(placed(value) for value in values), frobenius_norm=placed(frobenius)
    )


@dataclass(frozen=True, slots=True)
class _Decomposed:
    """A tall matrix as ``Q R + E``.

    Attributes:
        factor: R.
        defect: bounds ``||I - Q^T Q||`` from above.
        rest: bounds ``||E||_F`` from above.
    """

    factor: torch.Tensor
    defect: float
    rest: float


def _decomposed(tall: torch.Tensor) -> _Decomposed:
    columns, factor = torch.linalg.qr(tall)
    gram = columns.mT @ columns - torch.eye(columns.shape[1], dtype=columns.dtype)
    overlaps = columns.abs().mT @ columns.abs()
    defect = _norm(gram) + gamma(columns.shape[0] + 4) * _norm(overlaps)
    magnitude = _norm(columns.abs() @ factor.abs())
    rest = _norm(tall - columns @ factor) + gamma(columns.shape[1] + 4) * magnitude
    return _Decomposed(factor, defect * SLACK + UNDERFLOW, rest * SLACK + UNDERFLOW)


def _norm(matrix: torch.Tensor) -> float:
    """Upper bound on the Frobenius norm, with the rounding of a subtraction inside."""
    return math.sqrt(sum_of_squares(matrix).upper) * SLACK
