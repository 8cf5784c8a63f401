"""The chance that independent Gaussian scores answer right: a proven end, without a draw.

Let the scores of an example be independent, ``N(a_j, s_j^2)``, and y its label. The answer is right
where the label's score is strictly the largest. Given the label's, ``a_y + s_y u``, that has the
chance ``g(u) = prod_(j != y) Phi((a_y - a_j + s_y u) / s_j)``, which rises with u. With v = Phi(u)
uniform the whole chance is the integral of ``g(Phi^-1(v))`` from 0 to 1, and on each of K cells it
is at least the value at the left end:

    (1/K) sum_(k = 1)^(K-1) g(Phi^-1(k/K))  <=  P(right)  <=  the same + 1/K.

The error of a random predictor with such scores on a sample is the mean of ``1 - P(right)``: no
draws of weights and no failure probability for them are needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Cells of the quadrature; it errs by at most 1 over their number.
CELLS = 4096
#: More than what `normal_cdf` errs by, absolute, on each factor (tested at 1e-15).
_CDF = 1e-12
#: More than what ``ndtri`` of float64 errs by at k/K, relative to 1 and to the value.
_NDTRI = 1e-9
_FAR = 1e300  # stands for infinity, where a deviation is 0
_ROUNDINGS = 8 * 2.0**-53
_ENTRIES = 1 << 20  # factors that are computed at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GaussianScores:
    """Independent Gaussian scores of n examples, and what their computation may err by.

    Attributes:
        means: ``a``, finite, shape ``(n, classes)``.
        deviations: ``s``, at least 0, shape ``(n, classes)``.
        mean_errors: ``a`` errs by at most these; of its shape, or one for all.
        deviation_errors: ``s`` errs by at most these, relative to it; of its shape, or one for all.
    """

    means: Tensor
    deviations: Tensor
    mean_errors: Tensor | float = 0.0
    deviation_errors: Tensor | float = 0.0


def normal_cdf(x: Tensor) -> Tensor:
    """Phi, by the error function: its absolute error is small, and it is what is paid for."""
    return torch.erf(x * math.sqrt(0.5)).add_(1).mul_(0.5)


def right_lower(scores: GaussianScores, labels: Tensor, *, cells: int = CELLS) -> Tensor:
    """Lower ends of the chance that each example is answered right.

    Every rounding is paid: the nodes and the arguments of Phi are moved down, and what Phi may err
    by is taken off each factor.

    Args:
        scores: of n examples.
        labels: int64, shape ``(n,)``, in ``0 .. classes - 1``.
        cells: K, at least 2.

    Returns:
        float64, shape ``(n,)``, in [0, 1]; below the exact chance by at most ``1/K + 1e-7``, and
        by what the errors of the scores make.
    """
    levels = torch.arange(1, cells, dtype=torch.float64) / cells
    nodes = torch.special.ndtri(levels)
    nodes = nodes - _NDTRI * (1 + nodes.abs())
    count, classes = scores.means.shape
    part = max(1, _ENTRIES // (cells * classes))
    parts = [slice(start, start + part) for start in range(0, count, part)]
    found = [_right(_rows(scores, one), labels[one], nodes, cells) for one in parts]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def _rows(scores: GaussianScores, rows: slice) -> GaussianScores:
    """Some examples in float64, with an error for every entry."""
    means, deviations = scores.means[rows].double(), scores.deviations[rows].double()
    errors = (scores.mean_errors, scores.deviation_errors)
    own, relative = (
        one[rows].double() if isinstance(one, Tensor) else torch.full_like(means, one)
        for one in errors
    )
    return GaussianScores(
        means=means, deviations=deviations, mean_errors=own, deviation_errors=relative
    )


def _right(scores: GaussianScores, labels: Tensor, nodes: Tensor, cells: int) -> Tensor:
    a, s, errors, relative = (
        scores.means,
        scores.deviations,
        scores.mean_errors,
        scores.deviation_errors,
    )
    assert isinstance(errors, Tensor)  # noqa: S101  `_rows` has made them
    assert isinstance(relative, Tensor)  # noqa: S101
    label = labels[:, None]
    own, spread = a.gather(1, label), s.gather(1, label)
    moved = spread * nodes  # (n, K - 1)
    doubt = (relative.gather(1, label) + _ROUNDINGS) * moved.abs()
    fixed = (own - a) - errors - errors.gather(1, label) - _ROUNDINGS * (own.abs() + a.abs())
    ahead = fixed[:, :, None] + (moved - doubt)[:, None, :]
    arguments = (ahead / s[:, :, None]).clamp_(-_FAR, _FAR)
    arguments -= (2 * relative + _ROUNDINGS)[:, :, None] * arguments.abs()
    chances = normal_cdf(arguments).sub_(_CDF).clamp_min_(0)
    chances.nan_to_num_(nan=0.0)  # 0/0: a tie of two scores that do not move
    chances.scatter_(1, label[:, :, None].expand(-1, 1, len(nodes)), 1.0)
    product = chances.prod(dim=1)  # each product errs by less than classes * 2^-53 of 1
    lost = (a.shape[1] + cells) * 2.0**-52
    lower: Tensor = (product.sum(dim=1) / cells - lost).clamp_min(0)
    return lower


def mean_risk_upper(right: Tensor) -> float:
    """Upper bound on the mean chance of an error, from lower ends of those of a right answer.

    Args:
        right: float64, at least one entry, in [0, 1].
    """
    lower = math.nextafter(math.fsum(right.tolist()) / len(right), 0.0)
    return min(1.0, math.nextafter(math.nextafter(1 - lower, 2.0), 2.0))
