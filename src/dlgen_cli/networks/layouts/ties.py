"""Weights that are stored twice: a table of embeddings that is the last matrix too."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.networks.layouts.kinds import is_table
from dlgen_cli.networks.layouts.weight import Weight

_HEAD = re.compile(r"(^|.*[._])(lm_head|head|output|decoder|embed_out|generator|proj_out)\.weight")
_MOST_COMPARED = 8  # tensors of one shape; a model ties no more


def find_ties(weights: Sequence[Weight], checkpoint: Checkpoint) -> dict[str, str]:
    """Find weights that are the same tensor under another name.

    In a torch file tied tensors share their entries. Formats that store them twice are asked only
    where the names are usual for tying: a table of embeddings and a head of the same shape,
    whose entries are compared.

    Args:
        weights: in stored order.
        checkpoint: where they are stored.

    Returns:
        The first name by every further one.
    """
    tied = sharing_entries(checkpoint)
    groups = defaultdict(list)
    for weight in weights:
        if weight.recipe.form == "plain":
            groups[weight.shape].append(weight.name)
    for names in groups.values():
        if len(names) < 2:
            continue
        usual = [name for name in names if is_table(name) or _HEAD.fullmatch(name)]
        if any(map(is_table, usual)):
            tied |= _equal([name for name in usual if name not in tied], checkpoint)
    return tied


def sharing_entries(checkpoint: Checkpoint) -> dict[str, str]:
    """Floating-point tensors whose entries lie where those of an earlier one of the shape lie.

    Args:
        checkpoint: its tensors; none is read.

    Returns:
        The first name by every further one.
    """
    first: dict[object, str] = {}
    tied = {}
    for info in checkpoint.floating:
        if info.place is not None and info.numel:
            before = first.setdefault((info.place, info.shape), info.name)
            if before != info.name:
                tied[info.name] = before
    return tied


def _equal(names: Sequence[str], checkpoint: Checkpoint) -> dict[str, str]:
    tied: dict[str, str] = {}
    for index, name in enumerate(names[:_MOST_COMPARED]):
        for other in names[:index]:
            if other not in tied and _is_equal(name, other, checkpoint):
                tied[name] = other
                break
    return tied


def _is_equal(name: str, other: str, checkpoint: Checkpoint) -> bool:
    one, two = checkpoint.read(name), checkpoint.read(other)
    return one.dtype == two.dtype and bool((one == two).all())
