"""The errors of the network itself, and the certificate of its holdout."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.devices import resolve_device
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.predictors import count_errors, open_folded


def holdout_certificate(evidence: Evidence, known: Mapping[str, int]) -> Certificate:
    """Count the errors of the network on every part of the data; the holdout's are bounded.

    Args:
        evidence: checkpoint and examples.
        known: errors that were counted before, by part.

    Raises:
        UsageError: the network cannot be evaluated.
        DataError: the data do not fit the network.
    """
    inputs, samples = evidence.inputs, evidence.samples
    errors = known
    if known.keys() != samples.parts.keys():
        network = open_folded(inputs.checkpoint, inputs.read)
        network = network.to(resolve_device(inputs.options.device))
        batch = network.batch_size(own_weights=False)
        errors = errors_by_part(
            network,
            samples,
            batch=batch,
            device=network.device,
            known=known,
            progress=inputs.progress,
        )
    return Certificate(
        theorem=CLOPPER_PEARSON.name,
        evaluate=lambda delta: bounds.clopper_pearson(
            errors["holdout"], len(samples.holdout), delta, samples.holdout_lines
        ),
        errors=errors,
    )


def errors_by_part(
    predict: Callable[[Tensor], Tensor],
    samples: Samples,
    *,
    batch: int,
    device: torch.device,
    known: Mapping[str, int],
    progress: Progress,
) -> dict[str, int]:
    """Count the 0-1 errors on each of `Samples.parts`; none is counted twice.

    Args:
        predict: see `count_errors`.
        samples: the examples.
        batch: examples that are evaluated at a time, at least 1.
        device: where to compute.
        known: errors that were counted before, by part.
        progress: called as examples are evaluated.

    Raises:
        DataError: the data do not fit the network.
    """
    counted = {id(samples.parts[part]): errors for part, errors in known.items()}
    left = {id(part): part for part in samples.parts.values() if id(part) not in counted}
    before, total = 0, sum(len(part) for part in left.values())

    def tick(done: int) -> None:
        progress("evaluating", before + done, total)

    for key, part in left.items():
        counted[key] = count_errors(
            predict,
            part.images,
            part.labels,
            batch=batch,
            device=device,
            scale=samples.scale,
            tick=tick,
        )
        before += len(part)
    return {name: counted[id(part)] for name, part in samples.parts.items()}
