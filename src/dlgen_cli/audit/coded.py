"""The certificate of a run of ``--objective coded``: its code or its Gaussian, and its price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlgen_cli import bounds
from dlgen_cli.audit.certificate_results import certificate_results, data_settings
from dlgen_cli.audit.report import report_of
from dlgen_cli.bounds.verdict import HOLDOUT
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.run_directory import CODE_FILE, COORDINATES_FILE
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.evidence.compression_occam import union_nats
from dlgen_cli.evidence.holdout import holdout_evaluator
from dlgen_cli.evidence.inputs import gather
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.ledger.coded import coded_lines, coded_prior_lines, landmark_line
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.evidence.pac_bayes_kl import DrawProgress, monte_carlo_share, split_delta
from dlgen_cli.evidence.plan import Inputs, best_of, equal_share
from dlgen_cli.evidence.samples import Samples, find_samples
from dlgen_cli.predictors import coded_gibbs_errors, count_errors
from dlgen_cli.predictors.coded import (
    EXPONENTS,
    KERNEL,
    Description,
    build_network,
    code_facts,
    describe_run,
    family_choices,
    header,
    read_code,
    read_gaussian,
)
from dlgen_cli.records import Assumption, Bound, Report

_LEAST_DRAWS = 2000
_EVALUATION_BATCH = 250
OCCAM, POSTERIOR = "compression.occam", "pac_bayes.posterior"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Certified:
    """A predictor, ready to be bounded at any delta.

    Attributes:
        theorem: that bounds it.
        network: what the errors on whole sets are counted with: the code's, or the mean.
        evaluate: the bound.
        facts: for the report's results.
    """

    theorem: str
    network: nn.Module
    evaluate: Callable[[float], Bound]
    facts: Mapping[str, Any]


def find_coded(checkpoint: Path) -> Path | None:
    """The directory of a coded run; None where the checkpoint is anything else."""
    directory = checkpoint.resolve()
    if not directory.is_dir() or not run_directory.is_run_directory(directory):
        return None
    is_coded = run_directory.read_config(directory).get("objective") == "coded"
    return directory if is_coded else None


def certify_coded(
    directory: Path,
    options: AuditOptions,
    data: DataOptions,
    *,
    command: str,
    measured: Progress,
    drawn: DrawProgress | None,
) -> Report:
    """Certify a coded run: the holdout beside the run's own predictor, half of delta each.

    Nothing of ``model.safetensors`` enters: the network is built from architecture, seed, D and
    the coordinates' file.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    if options.anchors:
        raise UsageError(
            f"--anchors was given, but {directory} holds a prior of its own.",
            remedy="Leave out --anchors.",
        )
    inputs = gather(options, with_layers=False, for_bounds=False, progress=measured)
    samples = find_samples(inputs.checkpoint, data.data, options.m)
    share = equal_share(options.delta, 2)
    monte_carlo_share(data.delta_monte_carlo, share)  # refuse before any draw
    certified = _prepare(directory, inputs, samples, data, drawn)
    errors = _errors(certified.network, samples)
    certificates = [
        holdout_evaluator(samples, errors["holdout"])(share),
        certified.evaluate(share),
    ]
    headline = best_of(certificates, share, [HOLDOUT, certified.theorem])
    return report_of(
        inputs,
        command=command,
        settings={"m": inputs.m, "delta": options.delta, **data_settings(data)},
        bounds=certificates,
        headline=headline,
        results={
            **certificate_results(samples, errors, certificates, headline),
            "coded": dict(certified.facts),
        },
    )


def _prepare(
    directory: Path,
    inputs: Inputs,
    samples: Samples,
    data: DataOptions,
    drawn: DrawProgress | None,
) -> _Certified:
    config = inputs.checkpoint.config
    if config is None or "coded" not in config:
        raise CheckpointError(
            f"{directory} does not say how it was coded.", remedy="Train the run again."
        )
    if config["coded"]["predictor"] == "code":
        return _prepare_code(directory, samples)
    return _prepare_gaussian(directory, config, samples, data, drawn)


def _read(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{directory / name} cannot be read: {error.strerror}.",
            remedy="Take the run's directory as it was written, or train the run again.",
        ) from error


def _prepare_code(directory: Path, samples: Samples) -> _Certified:

    content = _read(directory, CODE_FILE)
    code = read_code(content, str(directory / CODE_FILE))
    network = code.network().at(code.coordinates())
    _require_fit(code.description, samples, directory / CODE_FILE)
    errors = _count(network, samples.bound.images, samples.bound.labels, samples)
    bits, examples = 8 * len(content), len(samples.bound)
    lines = [*samples.sample_lines, *coded_lines(bits, _family_choices(code.description))]
    union = _family_nats(code.description)

    def evaluate(delta: float) -> Bound:
        return bounds.occam(bits, errors, examples, delta, union_nats=union, assumptions=lines)

    return _Certified(
        theorem=OCCAM, network=network, evaluate=evaluate, facts=code_facts(code, content)
    )


def _prepare_gaussian(
    directory: Path,
    config: Mapping[str, Any],
    samples: Samples,
    data: DataOptions,
    drawn: DrawProgress | None,
) -> _Certified:

    if data.draws < _LEAST_DRAWS:
        raise UsageError(
            f"--draws is {data.draws}.", remedy=f"Give at least {_LEAST_DRAWS:,} for a coded run."
        )
    about = _description(config, directory)
    network = build_network(about)
    _require_fit(about, samples, directory)
    where = directory / COORDINATES_FILE
    posterior = read_gaussian(_read(directory, COORDINATES_FILE), network, str(where))
    errors = coded_gibbs_errors(
        network,
        posterior,
        samples.bound.images,
        samples.bound.labels,
        draws=data.draws,
        seed=data.seed,
        scale=samples.scale,
        progress=drawn,
    )
    counted = bounds.Posterior(
        name=directory.name,
        draws=data.draws,
        trials=data.draws,
        errors=errors,
        distance_nats_upper=posterior.distance_nats(),
        spread_nats_upper=posterior.spread_nats(network.projection.groups[-1].start),
    )
    choice = _choice_nats(about)
    lines = _gaussian_lines(about, samples, data.draws)

    def evaluate(delta: float) -> Bound:
        left, monte_carlo = split_delta(data.delta_monte_carlo, delta)
        size = len(samples.bound)
        return bounds.posterior_risk(
            [counted], size, left, monte_carlo, choice_nats=choice, assumptions=lines
        )

    return _Certified(
        theorem=POSTERIOR,
        network=network.at(posterior.mean * posterior.scale),
        evaluate=evaluate,
        facts={
            "dim": about.dim,
            "prior_deviation": posterior.scale,
            "has_factor": posterior.factor is not None,
        },
    )


def _description(config: Mapping[str, Any], directory: Path) -> Description:

    try:
        return describe_run(config)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{directory} does not say how it was coded ({error!r}).", remedy="Train the run again."
        ) from error


def _header(about: Description) -> bytes:

    return header(about)


def _gaussian_lines(about: Description, samples: Samples, draws: int) -> list[Assumption]:

    return [
        *samples.sample_lines,
        *coded_prior_lines(8 * len(_header(about)), _family_choices(about)),
        *ledger.gibbs_lines(draws, (), relative=False),
        *([landmark_line()] if about.architecture == KERNEL else []),
    ]


def _family_choices(about: Description) -> int:

    return family_choices(about.architecture)


def _family_nats(about: Description) -> float:

    return union_nats(_family_choices(about))


def _choice_nats(about: Description) -> float:
    """The description in bits, the prior's deviation, the constants of the architecture."""
    choices = len(EXPONENTS) * _family_choices(about) << 8 * len(_header(about))
    return union_nats(choices)


def _require_fit(about: Description, samples: Samples, where: Path) -> None:
    shape = tuple(samples.bound.images.shape[1:])
    if about.input_shape != shape or int(samples.bound.labels.max()) >= about.classes:
        raise CheckpointError(
            f"{where} is a network for images of {about.input_shape} in {about.classes} classes; "
            f"the data have {shape}.",
            remedy="Give the data that the run was trained on.",
        )


def _errors(network: nn.Module, samples: Samples) -> dict[str, int]:
    parts = {"sample": samples.bound, "holdout": samples.holdout, "test": samples.test}
    counted: dict[int, int] = {}
    for part in parts.values():
        if part is not None and id(part) not in counted:
            counted[id(part)] = _count(network, part.images, part.labels, samples)
    return {name: counted[id(part)] for name, part in parts.items() if part is not None}


def _count(network: nn.Module, images: Tensor, labels: Tensor, samples: Samples) -> int:

    return count_errors(
        network,
        images,
        labels,
        batch=_EVALUATION_BATCH,
        device=torch.device("cpu"),
        scale=samples.scale,
    )
