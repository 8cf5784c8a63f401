"""Which anchors were trained on the bound's sample, by what their files record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dlgen_cli import ledger
from dlgen_cli.audit.samples import Samples, count_shared, training_hashes
from dlgen_cli.checkpoints.trained_on import trained_on
from dlgen_cli.records import Assumption

if TYPE_CHECKING:
    from dlgen_cli.checkpoints import Checkpoint
    from dlgen_cli.checkpoints.anchors import AnchorTensors


def spend(anchor: AnchorTensors, samples: Samples) -> Samples:
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
