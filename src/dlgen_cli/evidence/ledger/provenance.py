"""The ledger's lines on what trained an anchor, and on what a holdout was kept from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlgen_cli.bounds.assumptions import assumed, declared, verified, violated
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.evidence.ledger.shared import told_repeated
from dlgen_cli.records import Assumption

if TYPE_CHECKING:
    from dlgen_cli.datasets import FeatureFile


def excluded_line(
    trained: str, excluded: int, left: int, doubt: str, *, enough: bool = True
) -> Assumption:
    """Whether examples that something else was trained on have left the bound's sample.

    Args:
        trained: what was trained on them.
        excluded: examples of the sample that trained it.
        left: that did not.
        doubt: why no program can verify that these are all; empty where one can.
        enough: whether those that are left carry a bound.
    """
    statement = f"No example of the bound's sample trained {trained}."
    if not enough:
        return violated(statement, f"{excluded:,} examples trained it; {left:,} would be left.")
    if excluded:
        found = f"{excluded:,} examples trained it and left the bound; {left:,} are in it."
    else:
        found = f"None of its {left:,} images is on record as having trained it, by hash."
    return declared(statement, f"{found} {doubt}") if doubt else verified(statement, found)


def looks_line(part: str, trained: str, alike: int, count: int) -> Assumption:
    """A suspicion: images that were stored anew are other images by their hashes.

    Args:
        part: of the data, such as the bound's sample.
        trained: what was trained on the others.
        alike: images of the part that look like one of the others, at least 1.
        count: images of the part.
    """
    return assumed(
        f"No image of {part} is a copy of one that trained {trained}.",
        f"{alike:,} of its {count:,} images look like one that did, by the signs of differences of "
        "8 x 8 means of grey; they were stored or decoded otherwise, so that no hash agrees.",
    )


def features_line(file: FeatureFile) -> Assumption:
    """What made the features that stand in the place of images."""
    return declared(
        f"What computed {file.name} was fixed without a look at these examples.",
        f"Given with --features: {file.columns:,} features of each example, sha256 "
        f"{file.sha256[:12]}. No program can tell what trained the model that made them.",
    )


def untraced_anchor_line(name: str, source: str) -> Assumption:
    """An anchor that was trained on nobody knows which examples of the sample's source."""
    return violated(
        f"No example of the bound's sample trained the anchor {name}.",
        f"It records training on examples of {source}, but not on which; name it inside its run's "
        "directory.",
    )


def shared_anchor_line(name: str, shared: int) -> Assumption:
    """An anchor that was trained on examples that m counts."""
    return violated(
        f"No example of the bound's sample trained the anchor {name}.",
        f"{shared:,} examples trained both; with --data they leave the sample of {KL.name}.",
    )


def holdout_lines(
    origin: str, count: int, overlap: int, repeated: int, doubt: str
) -> tuple[Assumption, ...]:
    """Whether the checkpoint never saw the holdout.

    Args:
        origin: ``recorded`` by the run, or the ``test`` set.
        count: its examples.
        overlap: images in it that are on record as trained on.
        repeated: images in it that equal others of it.
        doubt: why no program can verify that all of those are on record; empty where one can.
    """
    statement = "No example of the holdout was trained on."
    if overlap:
        seen = violated(
            statement, f"{overlap:,} images of it are among those trained on, by their hashes."
        )
    else:
        found = f"None of its {count:,} images is among those trained on, by hash."
        seen = declared(statement, f"{found} {doubt}") if doubt else verified(statement, found)
    how = (
        "The run set it aside first; whether anyone looked before choosing this run, no program "
        "can tell."
        if origin == "recorded"
        else "It is the test set of the data given."
    )
    return (
        seen,
        declared("The checkpoint was not chosen by its errors on the holdout.", how),
        declared(
            "The holdout is drawn independently from the population.",
            f"Given as such with --data; {told_repeated(repeated)}",
        ),
    )
