"""The errors of a trained network that are on record."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.records import REGIMES, RecordedErrors

#: A share of a count is a count again to within this.
_SLACK = 1e-6


def recorded_errors(checkpoint: Checkpoint) -> RecordedErrors | None:
    """What the run that trained a checkpoint recorded of its errors.

    Counts are rounded to the side that refutes less: of the training errors up, of the test
    errors down.

    Args:
        checkpoint: opened.

    Returns:
        None where the tensors are not those of a finished run, as after compression.
    """
    config = checkpoint.config
    if config is None or not checkpoint.is_trained or config["dataset"] not in REGIMES:
        return None
    counts = config["counts"]
    examples, test = config["examples"], counts["test"]
    shares = (config["train_error"], config["test_error"])
    if min(examples, test, counts["classes"]) < 1 or not all(0 <= one <= 1 for one in shares):
        return None
    return RecordedErrors(
        dataset=config["dataset"],
        classes=counts["classes"],
        examples=examples,
        altered=min(counts["altered"], examples),
        training_errors=min(examples, math.ceil(shares[0] * examples - _SLACK)),
        test_examples=test,
        test_errors=max(0, math.floor(shares[1] * test + _SLACK)),
    )


def counted_errors(samples: Samples, errors: Mapping[str, int]) -> RecordedErrors:
    """The errors on data that were declared to be a checkpoint's.

    Args:
        samples: the examples.
        errors: of the network itself, by part of the samples.
    """
    return RecordedErrors(
        dataset="standard",
        classes=int(samples.test.labels.max()) + 1,
        examples=len(samples.bound),
        altered=0,
        training_errors=errors["sample"],
        test_examples=len(samples.test),
        test_errors=errors["test"],
    )
