"""The errors of a network on each part of the data, and the certificate of its holdout."""

from __future__ import annotations

from collections.abc import Callable

from dlgen_cli import bounds
from dlgen_cli.devices import resolve_device
from dlgen_cli.evidence.pac_bayes_posterior import PosteriorCertificate
from dlgen_cli.evidence.plan import Inputs
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.predictors import count_errors, open_folded
from dlgen_cli.records import Bound


def holdout_evaluator(samples: Samples, errors: int) -> Callable[[float], Bound]:
    """The certificate of the holdout at any delta."""
    count = len(samples.holdout) if samples.holdout is not None else 0
    return lambda delta: bounds.clopper_pearson(errors, count, delta, samples.holdout_lines)


def network_errors(
    inputs: Inputs, samples: Samples, posterior: PosteriorCertificate | None
) -> dict[str, int]:
    """Errors of the network itself on each part of the data; none is counted twice."""
    network = open_folded(inputs.checkpoint, inputs.read)
    network = network.to(resolve_device(inputs.options.device))
    parts = {"sample": samples.bound, "test": samples.test}
    if samples.holdout is not samples.test:
        parts |= {"holdout": samples.holdout} if samples.holdout is not None else {}
    known: dict[str, int] = {}
    counted = posterior.mean_errors if posterior is not None else None
    if posterior is not None and counted is not None and posterior.examples == len(samples.bound):
        del parts["sample"]
        known["sample"] = counted
    found = known | {
        name: count_errors(
            network,
            part.images,
            part.labels,
            batch=network.batch_size(own_weights=False),
            device=network.device,
            scale=samples.scale,
        )
        for name, part in parts.items()
    }
    if samples.holdout is samples.test:
        found["holdout"] = found["test"]
    return found
