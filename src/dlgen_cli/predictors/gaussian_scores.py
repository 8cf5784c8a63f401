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

import torch
from torch import Tensor

#: Cells of the quadrature; it errs by at most 1 over their number.
CELLS = 4096
#: More than what ``ndtr`` of float64 errs by, absolute, on each factor (tested at 1e-15).
_NDTR = 1e-12
#: More than what ``ndtri`` of float64 errs by at k/K, relative to 1 and to the value.
_NDTRI = 1e-9
_ROUNDINGS = 8 * 2.0**-53
_ENTRIES = 1 << 22  # factors that are computed at a time


def right_lower(means: Tensor, deviations: Tensor, labels: Tensor, *, cells: int = CELLS) -> Tensor:
    """Lower ends of the chance that each example is answered right.

    Every rounding is paid: the nodes and the arguments of Phi are moved down, and what Phi may err
    by is taken off each factor.

    Args:
        means: ``a``, finite, shape ``(n, classes)``.
        deviations: ``s``, above 0, shape ``(n, classes)``.
        labels: int64, shape ``(n,)``, in ``0 .. classes - 1``.
        cells: K, at least 2.

    Returns:
        float64, shape ``(n,)``, in [0, 1]; below the exact chance by at most ``1/K + 1e-7``.
    """
    levels = torch.arange(1, cells, dtype=torch.float64) / cells
    nodes = torch.special.ndtri(levels)
    nodes = nodes - _NDTRI * (1 + nodes.abs())
    part = max(1, _ENTRIES // (cells * means.shape[1]))
    parts = [slice(start, start + part) for start in range(0, len(means), part)]
    found = [_right(means[one], deviations[one], labels[one], nodes, cells) for one in parts]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def _right(means: Tensor, deviations: Tensor, labels: Tensor, nodes: Tensor, cells: int) -> Tensor:
    a, s = means.double(), deviations.double()
    own, spread = (one.gather(1, labels[:, None]) for one in (a, s))
    moved = spread * nodes  # (n, K - 1)
    others = (own - a)[:, :, None] + moved[:, None, :]
    sizes = (own.abs() + a.abs())[:, :, None] + moved.abs()[:, None, :]
    arguments = (others - _ROUNDINGS * sizes) / s[:, :, None]
    arguments -= _ROUNDINGS * arguments.abs()
    chances = (torch.special.ndtr(arguments) - _NDTR).clamp_min(0)
    chances.scatter_(1, labels[:, None, None].expand(-1, 1, len(nodes)), 1.0)
    product = chances.prod(dim=1)  # each product errs by less than classes * 2^-53 of 1
    lost = (means.shape[1] + cells) * 2.0**-52
    lower: Tensor = (product.sum(dim=1) / cells - lost).clamp_min(0)
    return lower


def risk_upper(means: Tensor, deviations: Tensor, labels: Tensor, *, cells: int = CELLS) -> float:
    """Upper bound on the mean chance of an error, see `right_lower`; at most 1.

    Args:
        means: shape ``(n, classes)``, n at least 1.
        deviations: above 0, of the same shape.
        labels: int64, shape ``(n,)``.
        cells: K, at least 2.
    """
    right = right_lower(means, deviations, labels, cells=cells)
    lower = math.nextafter(math.fsum(right.tolist()) / len(right), 0.0)
    return min(1.0, math.nextafter(math.nextafter(1 - lower, 2.0), 2.0))
