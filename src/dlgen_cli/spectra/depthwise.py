"""Convolutions that act on each channel alone, all channels measured together.

Where a group has one channel on a side its transfer matrix is a vector ``k_g(w)``: a sum over the
taps for each of its p entries. All groups are then evaluated at all frequencies of a grid by one
matrix product, waves times taps. What that proves of every group says which of them can hold the
norm of the convolution; the others need no more work.

With ``S = sum_a |K_a|`` entrywise each entry of the computed real and imaginary part is within
``e S`` of the exact one, where e adds gamma of the sum over the taps and the error of the waves; so
the computed vector is within ``sqrt(2) e ||S||`` of the exact one.

The frequencies of a periodic convolution are the grid itself. The supremum over all frequencies is
at most the maximum over a grid of n_j points an axis divided by ``cos(r / 2)``, with
``r = sum_j pi (q_j - 1) / n_j`` the farthest that a frequency is from the next point: see (1) of
`dlgen_cli.spectra.supremum`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from dlgen_cli.spectra.geometry import ConvolutionGeometry, repeats_squared, transfer_taps
from dlgen_cli.spectra.periodic import PeriodicForm, grid_frequencies, without_single_taps
from dlgen_cli.spectra.rounding import SLACK, gamma
from dlgen_cli.spectra.transfer import TRIGONOMETRIC_ERROR, Frequencies, tap_waves

_POINTS = 12  # points of the grid on an axis of the lattice, for each degree
_MOST_POINTS = 1 << 12  # frequencies of a torus that is looked at as a whole
_CHUNK = 1 << 20  # entries of the vectors that are held at once
_LOST = 2.0**-500  # covers what underflows in squares


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelNorms:
    """What is proved of every group.

    Attributes:
        reached: shape ``(groups,)``, float64: ``||k_g(w)||`` at some w is at least this.
        upper: shape ``(groups,)``, float64: bounds the operator norm of the group.
        is_periodic: whether these are norms of the periodic convolution, else of the lattice.
    """

    reached: torch.Tensor
    upper: torch.Tensor
    is_periodic: bool

    def contenders(self, lower: float) -> torch.Tensor:
        """Groups that may exceed a norm, those that look largest first; one at least."""
        order = self.upper.argsort(descending=True, stable=True)
        count = int((self.upper > lower).sum())
        return order[: max(1, count)]


def channel_norms(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> ChannelNorms | None:
    """Bound the norm of every group; None where groups mix channels on both sides.

    Args:
        kernel: shape ``(o, i/groups, *k)``, float64, entries at most 1.
        geometry: how it is applied.
    """
    if geometry.groups == 1 or min(kernel.shape[0] // geometry.groups, kernel.shape[1]) > 1:
        return None
    factor = math.sqrt(repeats_squared(kernel, geometry)) * SLACK
    if geometry.input_size is not None:
        form = PeriodicForm.of(kernel, geometry)
        if form.taps.shape[2] == 1 and math.prod(form.points) <= _MOST_POINTS:
            reached, upper = _evaluated(form.taps, form.frequencies(1))
            return ChannelNorms(reached=reached, upper=upper * factor, is_periodic=True)
    if geometry.padding_mode == "circular" and max(geometry.stride) > 1:
        return None
    taps = transfer_taps(kernel, geometry.stride, geometry.dilation, geometry.groups)
    if taps.shape[2] > 1:
        return None
    taps = without_single_taps(taps)
    points = tuple(_POINTS * (size - 1) for size in taps.shape[3:])
    reached, upper = _evaluated(taps, grid_frequencies(points, (1,) * len(points), 1))
    farthest = math.pi * len(points) / _POINTS
    correction = SLACK / math.cos(farthest / 2)
    return ChannelNorms(reached=reached, upper=upper * (factor * correction), is_periodic=False)


def _evaluated(taps: torch.Tensor, at: Frequencies) -> tuple[torch.Tensor, torch.Tensor]:
    """Bounds from below and from above on ``max_w ||k_g(w)||`` over the given frequencies.

    Args:
        taps: shape ``(groups, p, 1, *q)``.
        at: of one group.
    """
    groups, entries = taps.shape[:2]
    columns = taps.reshape(groups * entries, -1).T.contiguous()
    cosines, sines = tap_waves(taps.shape[3:], at)
    peaks = torch.zeros(groups, dtype=torch.float64)
    rows = max(1, _CHUNK // columns.shape[1])
    for cosine, sine in zip(torch.split(cosines, rows), torch.split(sines, rows), strict=True):
        squares = (cosine @ columns).square_() + (sine @ columns).square_()
        sums = squares.reshape(len(squares), groups, entries).sum(dim=2)
        peaks = torch.maximum(peaks, sums.amax(dim=0))
    relative = math.sqrt(2) * (gamma(columns.shape[0] + 8) + 2 * TRIGONOMETRIC_ERROR)
    rounding = gamma(entries + columns.shape[0] + 16)
    moduli = columns.abs().sum(dim=0).reshape(groups, entries).norm(dim=1)
    error = relative * moduli * (1 + rounding) * SLACK
    norms = peaks.sqrt()
    reached = (norms * (1 - rounding) - error - _LOST).clamp_min(0.0) / SLACK
    return reached, (norms * (1 + rounding) + error + _LOST) * SLACK
