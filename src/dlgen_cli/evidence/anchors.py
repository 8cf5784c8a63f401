"""Which anchors were trained on the bound's sample, by what their files record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlgen_cli.checkpoints.anchors import AnchorTensors
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.runs.ancestor import digest_hashes
from dlgen_cli.checkpoints.runs.run_record import WHOLE, read_record
from dlgen_cli.checkpoints.runs.trained_on import trained_on
from dlgen_cli.errors import CheckpointError
from dlgen_cli.evidence.ledger.posterior import prior_mean_line
from dlgen_cli.evidence.ledger.provenance import shared_anchor_line, untraced_anchor_line
from dlgen_cli.evidence.provenance import doubt_about
from dlgen_cli.evidence.samples import Samples, count_shared, training_hashes
from dlgen_cli.records import Assumption

#: Where the mean of a prior may come from.
ORIGINS = ("initial", "run", "declared")


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
        return samples.without(found, f"the anchor {anchor.name}")[0]
    if found.origin != "untraced" or found.source != samples.source:
        return samples
    line = untraced_anchor_line(anchor.name, samples.source)
    return replace(samples, sample_lines=(*samples.sample_lines, line))


def without_prior_examples(
    prior: Checkpoint, directory: Path, samples: Samples
) -> tuple[Samples, Assumption]:
    """Take the examples that trained a prior's mean out of the sample of its posterior.

    Args:
        prior: its mean, the initialization of the run.
        directory: of the run.
        samples: behind the certificate.

    Returns:
        What is left of them, and the ledger's line on where the prior's mean comes from.

    Raises:
        CheckpointError: the directory does not record the prior's mean, or in two ways.
    """
    run = read_record(directory)
    facts = run.config.get("anchor")
    if facts is None:
        raise CheckpointError(
            f"{directory} holds a posterior, but its config.json no anchor.", remedy=WHOLE
        )
    if facts["origin"] not in ORIGINS:
        raise CheckpointError(
            f"{directory} records an anchor of origin {facts['origin']!r}; one of "
            f"{', '.join(ORIGINS)} was expected.",
            remedy=WHOLE,
        )
    hashes = run.labels.get("anchor_hashes")
    if hashes is None:
        raise CheckpointError(
            f"{directory} should record anchor_hashes of shape (k, 16); it records none.",
            remedy=WHOLE,
        )
    if digest_hashes(hashes) != facts["hashes_sha256"]:
        raise CheckpointError(
            f"The examples that {directory} lists as those of its anchor are not those that its "
            "weights record.",
            remedy=WHOLE,
        )
    found = trained_on(prior)
    doubt = doubt_about(found, samples.data, samples.source)
    if not len(hashes):
        return samples, prior_mean_line(facts, 0, doubt)
    left, count = samples.without(found, f"the prior's mean, {facts['name']}")
    return left, prior_mean_line(facts, count, doubt)


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
            lines += [shared_anchor_line(anchor.name, shared)] if shared else []
        elif config is not None and found.source == config["source"]:
            lines.append(untraced_anchor_line(anchor.name, config["source"]))
    return lines
