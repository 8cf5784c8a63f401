"""The certificate of a run of ``--objective coded``: its code or its Gaussian, and its price."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dlgen_cli import bounds
from dlgen_cli.bounds.compression_occam import OCCAM
from dlgen_cli.bounds.gibbs_risk import DrawnErrors, IntegratedRisk
from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.run_directory import CODE_FILE, COORDINATES_FILE
from dlgen_cli.checkpoints.runs.run_record import require_own
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.compression_occam import union_nats
from dlgen_cli.evidence.holdout import errors_by_part
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.coded import coded_lines, coded_prior_lines, landmark_line
from dlgen_cli.evidence.monte_carlo import delta_of_risks
from dlgen_cli.evidence.samples import Samples
from dlgen_cli.predictors import coded_gibbs_errors, coded_risk_upper
from dlgen_cli.predictors.coded import (
    EXPONENTS,
    KERNEL,
    CodedNetwork,
    Description,
    GaussianCoordinates,
    build_network,
    code_facts,
    describe_run,
    family_choices,
    header,
    read_code,
    read_gaussian,
)
from dlgen_cli.predictors.gaussian_scores import CELLS
from dlgen_cli.records import Assumption, Bound

_LEAST_DRAWS = 2000
_EVALUATION_BATCH = 250


def is_coded(checkpoint: Path) -> bool:
    """Whether a checkpoint is the directory of a coded run."""
    directory = checkpoint.resolve()
    if not directory.is_dir() or not run_directory.is_run_directory(directory):
        return False
    return run_directory.read_config(directory).get("objective") == "coded"


def coded_certificate(evidence: Evidence) -> Certificate:
    """Certify the predictor of a coded run: its code, or its Gaussian over the coordinates.

    Nothing of ``model.safetensors`` enters: the network is built from architecture, seed, D and
    the coordinates' file.

    Raises:
        CheckpointError: the directory is not whole, or not of these data.
        UsageError: there are too few draws.
        DataError: the data do not fit the network.
    """
    directory = evidence.inputs.options.checkpoint.resolve()
    config = evidence.inputs.checkpoint.config
    if config is None or "coded" not in config:
        raise CheckpointError(
            f"{directory} does not say how it was coded.", remedy="Train the run again."
        )
    if config["coded"]["predictor"] == "code":
        return _code_certificate(directory, evidence)
    return _gaussian_certificate(directory, config, evidence)


def _code_certificate(directory: Path, evidence: Evidence) -> Certificate:
    samples = evidence.samples
    content = _read(directory, CODE_FILE)
    code = read_code(content, str(directory / CODE_FILE))
    network = code.network().at(code.coordinates())
    _require_fit(code.description, samples, directory / CODE_FILE)
    errors = _errors(network, evidence)
    bits, examples = 8 * len(content), len(samples.bound)
    choices = family_choices(code.description.architecture)
    lines = [*samples.sample_lines, *coded_lines(bits, choices)]

    def evaluate(delta: float) -> Bound:
        return bounds.occam(
            bits,
            errors["sample"],
            examples,
            delta,
            union_nats=union_nats(choices),
            assumptions=lines,
        )

    return Certificate(
        theorem=OCCAM.name,
        evaluate=evaluate,
        errors=errors,
        facts=lambda _: {"coded": code_facts(code, content)},
    )


def _gaussian_certificate(
    directory: Path, config: Mapping[str, Any], evidence: Evidence
) -> Certificate:
    samples, data = evidence.samples, evidence.data
    about = _description(config, directory)
    network = build_network(about)
    _require_fit(about, samples, directory)
    where = directory / COORDINATES_FILE
    posterior = read_gaussian(_read(directory, COORDINATES_FILE), network, str(where))
    risk, risk_line = _risk(network, posterior, evidence)
    measured = bounds.Posterior(
        name=directory.name,
        risk=risk,
        distance_nats_upper=posterior.distance_nats(),
        spread_nats_upper=posterior.spread_nats(network.projection.groups[-1].start),
    )
    choice_nats = _choice_nats(about)
    lines = _gaussian_lines(about, samples, risk_line)

    def evaluate(delta: float) -> Bound:
        left, monte_carlo = delta_of_risks([risk], data.delta_monte_carlo, delta)
        size = len(samples.bound)
        return bounds.posterior_risk(
            [measured], size, left, monte_carlo, choice_nats=choice_nats, assumptions=lines
        )

    facts = {
        "dim": about.dim,
        "prior_deviation": posterior.scale,
        "has_factor": posterior.factor is not None,
    }
    return Certificate(
        theorem=POSTERIOR.name,
        evaluate=evaluate,
        errors=_errors(network.at(posterior.mean * posterior.scale), evidence),
        facts=lambda _: {"coded": facts},
    )


def _read(directory: Path, name: str) -> bytes:
    require_own(directory, run_directory.read_config(directory), name)
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{directory / name} cannot be read: {error.strerror}.",
            remedy="Take the run's directory as it was written, or train the run again.",
        ) from error


def _description(config: Mapping[str, Any], directory: Path) -> Description:
    try:
        return describe_run(config)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{directory} does not say how it was coded ({error!r}).", remedy="Train the run again."
        ) from error


def _risk(
    network: CodedNetwork, posterior: GaussianCoordinates, evidence: Evidence
) -> tuple[DrawnErrors | IntegratedRisk, Assumption]:
    """The risk on the sample, and the ledger's line on how it was found."""
    samples, data = evidence.samples, evidence.data
    images, labels = samples.bound.images, samples.bound.labels
    upper = coded_risk_upper(
        network, posterior, images, labels, scale=samples.scale, progress=evidence.progress
    )
    if upper is not None:
        return IntegratedRisk(upper=upper, cells=CELLS), ledger.integral_line(CELLS)
    if data.draws < _LEAST_DRAWS:
        raise UsageError(
            f"--draws is {data.draws}.", remedy=f"Give at least {_LEAST_DRAWS:,} for a coded run."
        )
    errors = coded_gibbs_errors(
        network,
        posterior,
        images,
        labels,
        draws=data.draws,
        seed=data.seed,
        scale=samples.scale,
        progress=evidence.progress,
    )
    drawn = DrawnErrors(draws=data.draws, trials=data.draws, errors=errors)
    return drawn, ledger.draws_line(data.draws)


def _gaussian_lines(
    about: Description, samples: Samples, risk_line: Assumption
) -> list[Assumption]:
    return [
        *samples.sample_lines,
        *coded_prior_lines(8 * len(header(about)), family_choices(about.architecture)),
        risk_line,
        *([landmark_line()] if about.architecture == KERNEL else []),
    ]


def _choice_nats(about: Description) -> float:
    """The description in bits, the prior's deviation, the constants of the architecture."""
    choices = len(EXPONENTS) * family_choices(about.architecture) << 8 * len(header(about))
    return union_nats(choices)


def _require_fit(about: Description, samples: Samples, where: Path) -> None:
    shape = tuple(samples.bound.images.shape[1:])
    if about.input_shape != shape or int(samples.bound.labels.max()) >= about.classes:
        raise CheckpointError(
            f"{where} is a network for images of {about.input_shape} in {about.classes} classes; "
            f"the data have {shape}.",
            remedy="Give the data that the run was trained on.",
        )


def _errors(network: nn.Module, evidence: Evidence) -> dict[str, int]:
    """Errors of the code's network, or of that at the mean, on every part of the data."""
    return errors_by_part(
        network,
        evidence.samples,
        batch=_EVALUATION_BATCH,
        device=torch.device("cpu"),
        known={},
        progress=evidence.inputs.progress,
    )
