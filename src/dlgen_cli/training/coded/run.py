"""A coded run from beginning to end: its checkpoint directory holds the code or the posterior."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.run_config import CodedFacts, RunConfig
from dlgen_cli.datasets import digest_examples
from dlgen_cli.errors import TrainingError, UsageError
from dlgen_cli.predictors.coded.code_file import Code, write_code
from dlgen_cli.predictors.coded.gaussian import gaussian_tensors
from dlgen_cli.predictors.coded.network import KERNEL, Description, build_network, parameters_of
from dlgen_cli.training.coded.general import Task, train_gaussian, train_levels
from dlgen_cli.training.coded.head import train_head
from dlgen_cli.training.coded.settings import DEFAULT_LANDMARKS, CodedSettings, require_codable
from dlgen_cli.training.computation import computing, memory_format
from dlgen_cli.training.examples import RunExamples, prepare_examples
from dlgen_cli.training.facts import collect_contents
from dlgen_cli.training.loop import make_optimizer
from dlgen_cli.training.model_card import model_card
from dlgen_cli.training.progress import Progress, ProgressCallback, WorkProgress
from dlgen_cli.training.recipe import Recipe
from dlgen_cli.training.run import RunResult, require_vacant
from dlgen_cli.training.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.training.computation import Computation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """What a trainer hands back: the mean's or the code's coordinates, and the files."""

    coordinates: Tensor
    files: dict[str, bytes]


def run_coded(
    recipe: Recipe,
    settings: CodedSettings,
    directory: Path,
    *,
    data_dir: Path | None = None,
    progress: ProgressCallback | None = None,
    work: WorkProgress | None = None,
) -> RunResult:
    """Train for a certificate and write the checkpoint directory.

    ``model.safetensors`` holds the network of the code, or the one at the posterior's mean;
    ``code.bin`` or ``coordinates.safetensors`` what the certificate is made of. On the CPU the
    same recipe and settings give the same bytes.

    Args:
        recipe: examples, architecture, epochs, batches, step size, seed.
        settings: D, predictor, step.
        directory: where the run shall stand; it may exist if it is empty.
        data_dir: where the source keeps its files, for sources that have files.
        progress: called after every epoch.
        work: called as images are decoded and examples evaluated.

    Raises:
        UsageError: a setting does not fit the network or the data.
        TrainingError: the directory is taken or cannot be written, or the objective became NaN.
    """
    require_codable(recipe, settings)
    recipe = replace(recipe, until_train_error=None, device="cpu", precision="float32")
    with computing(recipe) as computation:
        require_vacant(directory)
        examples = prepare_examples(recipe, data_dir, work)
        about = _description(recipe, settings, examples)
        _require_landmarks(about, examples)
        trial = replace(_start(recipe, computation, examples, about), work=work)
        started = time.monotonic()
        trained = _train(trial, settings, about, progress)
        seconds = time.monotonic() - started
        contents = collect_contents(trial)
        config: RunConfig = {
            **contents.config,
            "objective": "coded",
            "coded": _facts(settings, about),
        }
        card = model_card(config)
        contents = replace(contents, config=config, card=card, files=trained.files, resume={})
        run_directory.write_run_directory(directory, contents)
    return RunResult(
        directory=directory,
        recipe=recipe,
        config=contents.config,
        epochs_now=recipe.epochs,
        images_per_second=recipe.epochs * len(trial.train) / max(seconds, 1e-9),
    )


def _description(recipe: Recipe, settings: CodedSettings, examples: RunExamples) -> Description:
    classes = len(examples.classes)
    about = Description(
        architecture=recipe.architecture,
        width=recipe.width,
        depth=recipe.depth,
        classes=classes,
        input_shape=examples.input_shape,
        seed=recipe.seed,
        dim=settings.dim or DEFAULT_LANDMARKS * classes,
    )
    if settings.dim is not None or recipe.architecture == KERNEL:
        return about
    return replace(about, dim=parameters_of(about))


def _require_landmarks(about: Description, examples: RunExamples) -> None:
    """A kernel machine's landmarks are different examples."""
    wanted, given = about.dim // about.classes, len(examples.train)
    if about.architecture == KERNEL and wanted > given:
        raise UsageError(
            f"--dim asks for {wanted:,} landmarks; there are {given:,} examples.",
            remedy="Give a smaller --dim.",
        )


def _facts(settings: CodedSettings, about: Description) -> CodedFacts:
    return {
        "predictor": settings.predictor,
        "dim": about.dim,
        "width": about.width,
        "depth": about.depth,
        "seed": about.seed,
    }


def _start(
    recipe: Recipe, computation: Computation, examples: RunExamples, about: Description
) -> Trial:
    """The run as the rest of the room knows runs, at ``z = 0``."""
    network = build_network(about).at(torch.zeros(about.dim))
    layout = memory_format(network)
    trial = Trial(
        recipe=recipe,
        computation=computation,
        examples=examples,
        examples_sha256=digest_examples(examples.train),
        train=examples.on(examples.train, computation.device, layout),
        test=examples.on(examples.test, computation.device, layout),
        network=network,
        step_network=network,
        architecture_arguments=about.arguments(),
        optimizer=make_optimizer(network, recipe.optimizer, recipe.learning_rate),
        init={name: tensor.clone() for name, tensor in network.state_dict().items()},
    )
    _require_outputs(trial, about)
    return trial


@torch.no_grad()
def _require_outputs(trial: Trial, about: Description) -> None:
    """Try the network on one image, with as few coordinates as it takes."""
    network = build_network(replace(about, dim=about.classes)).at(torch.zeros(about.classes))
    try:
        network(trial.train.batch(slice(0, 1))[0])
    except (RuntimeError, ValueError) as error:
        shape = " x ".join(str(size) for size in trial.examples.input_shape)
        raise UsageError(
            f"The architecture {trial.recipe.architecture} does not take images of {shape}.",
            remedy="Choose another --arch.",
        ) from error


def _train(
    trial: Trial, settings: CodedSettings, about: Description, progress: ProgressCallback | None
) -> _Trained:
    network = build_network(about)
    started = time.monotonic()

    def tick(epoch: int, objective: float) -> None:
        if not math.isfinite(objective):
            raise TrainingError(
                f"Training diverged in epoch {epoch}: the objective is {objective}.",
                remedy=f"Give a smaller --lr than {trial.recipe.learning_rate:g}.",
            )
        trial.metrics.append({"epoch": epoch, "objective": objective})
        trial.epoch = epoch
        if progress is not None:
            progress(_shown(trial, objective, time.monotonic() - started))

    task = Task(
        recipe=trial.recipe, settings=settings, network=network, train=trial.train, tick=tick
    )
    train_error = None
    if settings.predictor == "code":
        exponent, levels = train_levels(task)
        code = Code(description=about, exponent=exponent, levels=levels)
        files = {run_directory.CODE_FILE: write_code(code)}
        trained = _Trained(coordinates=code.coordinates(), files=files)
    else:
        if network.has_fixed_features:
            gaussian, train_error = train_head(task)
        else:
            gaussian = train_gaussian(task)
        data = run_directory.serialize_safetensors(gaussian_tensors(gaussian), {})
        trained = _Trained(
            coordinates=gaussian.mean * gaussian.scale,
            files={run_directory.COORDINATES_FILE: data},
        )
    trial.network = network.at(trained.coordinates)
    last = trial.metrics[-1] if trial.metrics else {"epoch": 0}
    trial.metrics[-1:] = [last | _errors(trial, train_error)]
    return trained


def _errors(trial: Trial, known: float | None) -> dict[str, Any]:
    """Errors of the code's network, or of the mean; that on the sample may be known."""
    parts = [trial.test] if known is not None else [trial.test, trial.train]
    test, *train = trial.errors_on(*parts)
    return {"train_error": train[0] if known is None else known, "test_error": test}


def _shown(trial: Trial, objective: float, seconds: float) -> Progress:
    epochs, epoch = trial.recipe.epochs, trial.epoch
    return Progress(
        epoch=epoch,
        epochs=epochs,
        share=0.0,
        loss=objective,
        running_error=None,
        train_error=math.nan,
        test_error=math.nan,
        images_per_second=epoch * len(trial.train) / max(seconds, 1e-9),
        seconds_left=seconds / epoch * (epochs - epoch),
    )
