"""The norm of a block-diagonal matrix, which is that of its largest block."""

from __future__ import annotations

import torch

from dlgen_cli.records import Interval
from dlgen_cli.spectra.dense import spectral_norm_bounds
from dlgen_cli.spectra.supremum import largest_of_all
from dlgen_cli.spectra.transfer import (
    Frequencies,
    TransferFamily,
    estimated_squares,
    proved_below,
)

_EXACT = 1e-12  # relative width aimed at for small blocks
_SMALL = 64  # orders up to this are decomposed, all blocks in one call
_ABOVE = 1e-9  # by how much large blocks may exceed the largest without being measured, relative


def block_diagonal_norm(blocks: torch.Tensor) -> Interval:
    """Enclose the largest spectral norm of some matrices.

    The block that looks largest is measured; that no other exceeds it by more than ``1e-9`` is
    proved by a Cholesky factorisation of each. Those where that fails are measured in turn.

    Args:
        blocks: shape ``(groups, rows, columns)``, float64, entries at most 1 and one of them at
            least 1/2.

    Returns:
        Ends within about ``1e-9`` relative of each other.
    """
    if len(blocks) == 1:
        return spectral_norm_bounds(blocks[0])
    tall = blocks.mT if blocks.shape[2] > blocks.shape[1] else blocks
    family = TransferFamily(tall.contiguous())
    groups = torch.arange(len(blocks))
    at = Frequencies(groups, groups.new_zeros(len(groups), 0), ())
    if family.order <= _SMALL:
        return largest_of_all(family, at, _EXACT)
    at = at.select(estimated_squares(family, at).argsort(descending=True, stable=True))
    lower = upper = 0.0
    while len(at):
        one = spectral_norm_bounds(blocks[at.group[0]])
        lower, upper = max(lower, one.lower), max(upper, one.upper * (1 + _ABOVE))
        at = at.select(torch.arange(1, len(at)))
        at = at.select(~proved_below(family, at, upper * upper))
    return Interval(lower=lower, upper=upper)
