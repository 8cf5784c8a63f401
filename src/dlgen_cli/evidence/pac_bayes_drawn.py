"""The risk of one network that is drawn from a trained posterior: `pac_bayes.drawn`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.bounds.pac_bayes_drawn import DRAWN, draw_seed
from dlgen_cli.checkpoints.runs.posterior_file import POSTERIOR_FILE
from dlgen_cli.checkpoints.runs.run_config import RunConfig, header_metadata
from dlgen_cli.checkpoints.runs.run_directory import serialize_safetensors
from dlgen_cli.checkpoints.stored import sha256_of
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.divergence import log_density_ratio_upper
from dlgen_cli.evidence.holdout import errors_by_part
from dlgen_cli.evidence.ledger.posterior import drawn_network_line, seed_line
from dlgen_cli.evidence.trained_posterior import OpenedPosterior, open_posterior
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.predictors import coordinates
from dlgen_cli.predictors.unfolding import unfolded
from dlgen_cli.predictors.weight_draw import draw_weights, standard_normals
from dlgen_cli.records import Bound

_SUFFIX = ".safetensors"


def require_file_of_draw(evidence: Evidence) -> None:
    """Refuse a name that says another format than the drawn network is written in.

    Raises:
        UsageError: naming the option.
    """
    path = evidence.data.draw_network
    if path is not None and path.suffix != _SUFFIX:
        raise UsageError(
            f"--draw-network {path} was given; a name ending in {_SUFFIX} was expected.",
            remedy="The network is written as safetensors.",
        )


def drawn_certificate(evidence: Evidence) -> Certificate:
    """Draw one network, write it down, and count its errors on the sample.

    The seed is a digest of the run's files: nobody chose it, and the posterior was fixed before.
    What is scored is the checkpoint that is written, evaluated as any other.

    Raises:
        CheckpointError: the directory is not whole.
        UsageError: a frozen parameter differs from the prior's mean, the name of the file is no
            safetensors file's, or the network cannot be evaluated.
        DataError: the data do not fit the network.
    """
    require_file_of_draw(evidence)
    opened, path = open_posterior(evidence), evidence.data.draw_network
    assert path is not None  # noqa: S101  the caller has looked
    samples, inputs = opened.samples, evidence.inputs
    posterior_sha256 = sha256_of(opened.directory / POSTERIOR_FILE)
    seed = draw_seed(inputs.checkpoint.sha256, posterior_sha256)
    drawn, ratio = _draw(opened, int(seed, 16))
    network = inputs.read.network
    state = unfolded(network, dict(CheckpointTensors(opened.prior)), drawn)
    folded = opened.folded.with_parameters(
        {name: one.to(opened.folded.device) for name, one in coordinates(network, state).items()}
    )
    batch = folded.batch_size(own_weights=False)
    errors = errors_by_part(
        folded,
        samples,
        batch=batch,
        device=folded.device,
        known={},
        progress=inputs.progress,
    )
    rates = {part: errors[part] / len(samples.parts[part]) for part in errors}
    content = serialize_safetensors(state, _metadata(inputs.checkpoint.config, rates))
    digest = hashlib.sha256(content).hexdigest()
    lines = [*opened.lines, drawn_network_line(path.name, digest), seed_line()]
    one = bounds.DrawnNetwork(
        name=path.name, log_density_ratio_nats=ratio, errors=errors["sample"], seed=seed
    )

    def evaluate(delta: float) -> Bound:
        return bounds.drawn_risk(
            [one],
            len(samples.bound),
            delta,
            choice_nats=opened.choice_nats,
            assumptions=lines,
        )

    facts = {
        "file": path.name,
        "sha256": digest,
        "posterior_sha256": posterior_sha256,
        "test_error": rates["test"],
    }
    return Certificate(
        theorem=DRAWN.name,
        evaluate=evaluate,
        facts=lambda _: {"drawn_network": facts},
        files={path: content},
    )


def _draw(opened: OpenedPosterior, seed: int) -> tuple[dict[str, Tensor], float]:
    """The coordinates that move, drawn; and what the density of all costs, rounded upward."""
    drawn, ratios = {}, []
    for name, one in opened.coordinates.items():
        if not one.prior_deviation:
            continue
        mean = opened.mean[name].cpu()
        noise = standard_normals(seed, f"drawn network {name}", mean.numel())
        draw = draw_weights(mean, one.prior_mean.cpu(), one.deviation, noise)
        drawn[name] = draw.weights
        ratios.append(
            log_density_ratio_upper(
                draw.distances_upper, draw.noise, one.deviation, one.prior_deviation
            )
        )
    return drawn, math.nextafter(math.fsum(ratios), math.inf)


def _metadata(config: RunConfig | None, rates: Mapping[str, float]) -> dict[str, str]:
    """The header of the run's model, with the errors of the network that was drawn."""
    assert config is not None  # noqa: S101  a run has one
    own: dict[str, Any] = {"train_error": rates["sample"], "test_error": rates["test"]}
    if config.get("holdout_error") is not None:
        own["holdout_error"] = rates["holdout"]
    return header_metadata(cast("RunConfig", {**config, **own}), tensors="trained")
