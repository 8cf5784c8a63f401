"""Which anchors were trained on the bound's sample, by what their files record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from dlgen_cli.checkpoints import Checkpoint
from dlgen_cli.checkpoints.anchors import AnchorTensors
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.trained_on import trained_on
from dlgen_cli.errors import CheckpointError
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.posterior import prior_mean_lines
from dlgen_cli.evidence.samples import Samples, count_shared, training_hashes
from dlgen_cli.records import Assumption

#: Where the mean of a prior may come from.
ORIGINS = ("initial", "run", "declared")
_WHOLE = "Take the run's directory as it was written, or train the run again."


def without_anchor_examples(anchor: AnchorTensors, samples: Samples) -> Samples:
    """Take the examples that trained an anchor out of the sample.

    An anchor that records training on the same source, but not on which examples, withholds the
    certificate. One that records nothing is what the user declares it to be.

    Args:
        anchor: opened.
        samples: behind the certificate.
    """
    found = trained_on(anchor.source)
    if found.origin == "run":
        return samples.without(found.hashes, f"the anchor {anchor.name}")
    if found.origin != "untraced" or found.source != samples.source:
        return samples
    line = ledger.untraced_anchor_line(anchor.name, samples.source)
    return replace(samples, sample_lines=(*samples.sample_lines, line))


def without_prior_examples(
    checkpoint: Checkpoint, directory: Path, samples: Samples
) -> tuple[Samples, list[Assumption]]:
    """Take the examples that trained a prior's mean out of the sample of its posterior.

    Args:
        checkpoint: the posterior's mean.
        directory: of its run.
        samples: behind the certificate.

    Returns:
        What is left of them, and the ledger's lines on where the prior's mean comes from.

    Raises:
        CheckpointError: the directory does not record the prior's mean, or in two ways.
    """
    config = checkpoint.config
    facts = config.get("anchor") if config is not None else None
    if facts is None:
        raise CheckpointError(
            f"{directory} holds a posterior, but its config.json no anchor.", remedy=_WHOLE
        )
    if facts["origin"] not in ORIGINS:
        raise CheckpointError(
            f"{directory} records an anchor of origin {facts['origin']!r}; one of "
            f"{', '.join(ORIGINS)} was expected.",
            remedy=_WHOLE,
        )
    hashes = _anchor_hashes(directory)
    if hashlib.sha256(hashes.numpy().tobytes()).hexdigest() != facts["hashes_sha256"]:
        raise CheckpointError(
            f"The examples that {directory} lists as those of its anchor are not those that its "
            "weights record.",
            remedy=_WHOLE,
        )
    before = len(samples.bound)
    left = samples.without(hashes, f"the prior's mean, {facts['name']}")
    return left, prior_mean_lines(facts, len(hashes), before - len(left.bound), before)


def _anchor_hashes(directory: Path) -> Tensor:
    hashes = run_directory.read_labels(directory).get("anchor_hashes")
    if hashes is None or hashes.ndim != 2 or hashes.shape[1] != 16 or hashes.itemsize != 1:
        found = "none" if hashes is None else f"{hashes.dtype} of shape {tuple(hashes.shape)}"
        raise CheckpointError(
            f"{directory} should record anchor_hashes of shape (k, 16); it records {found}.",
            remedy=_WHOLE,
        )
    return hashes.contiguous()


def shared_lines(anchors: Sequence[AnchorTensors], checkpoint: Checkpoint) -> list[Assumption]:
    """A violated line for every anchor that was trained on what trained the checkpoint.

    Args:
        anchors: opened.
        checkpoint: what they are the anchors of; m counts all examples that trained it.
    """
    own, config = training_hashes(checkpoint), checkpoint.config
    lines = []
    for anchor in anchors:
        found = trained_on(anchor.source)
        if found.origin in {"declared", "initial"}:
            continue
        if found.origin == "run" and own is not None:
            shared = count_shared(own, found.hashes)
            lines += [ledger.shared_anchor_line(anchor.name, shared)] if shared else []
        elif config is not None and found.source == config["source"]:
            lines.append(ledger.untraced_anchor_line(anchor.name, config["source"]))
    return lines
