"""Whether what trained some weights is known: a record is as good as its weakest ancestor."""

from __future__ import annotations

from torch import Tensor

from dlgen_cli.checkpoints.runs.trained_on import TrainedOn
from dlgen_cli.datasets import SourceHashes, keys_of, looks_of


def doubt_about(found: TrainedOn, data: SourceHashes, name: str) -> str:
    """Why no program can verify that the hashes of what trained some weights tell the whole.

    Args:
        found: what trained them.
        data: hashes of the images of the data at hand.
        name: what the data are called.

    Returns:
        A sentence that names the file; empty where every ancestor's record is bound to it, and is
        of these data or of images that are all among them.
    """
    weak = found.weakest
    if weak is not None:
        return f"{weak.described}."
    if not data.lacking(found.hashes, found.indices):
        return ""
    for one in found.ancestors:
        if one.origin == "run" and one.source_sha256 != data.sha256:
            return (
                f"{one.name}, sha256 {one.sha256[:12]}, was trained on {one.examples:,} images of "
                f"{one.source}, and not all are among those of {name}: an image that was stored or "
                "decoded otherwise has another hash."
            )
    return ""


def count_alike(images: Tensor, found: TrainedOn, data: SourceHashes) -> int:
    """How many images look like one that trained some weights and is not among the data.

    Args:
        images: of the data, see `looks_of`; blank ones do not count.
        found: what trained the weights, with the looks that are on record.
        data: hashes of the images of the data.
    """
    looks = keys_of(found.looks)
    if len(looks) == len(found.hashes):
        lacking = data.lacking(found.hashes, found.indices)
        pairs = zip(keys_of(found.hashes), looks, strict=True)
        looks = [look for key, look in pairs if key in lacking]
    others = set(looks)
    return sum(any(key) and key in others for key in keys_of(looks_of(images))) if others else 0
