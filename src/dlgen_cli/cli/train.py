"""``dlgen train``: options to a recipe, a run to a report."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.coded_options import CodedOptions
from dlgen_cli.cli.objectives import (
    ObjectiveOption,
    PosteriorOptions,
    require_objective,
    train_posterior,
)
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.training_options import TrainingOptions
from dlgen_cli.cli.training_progress import show_progress
from dlgen_cli.processes import process_rank
from dlgen_cli.records import Report

if TYPE_CHECKING:
    from dlgen_cli.training import ProgressCallback, RunResult

_EXIT_INTERRUPTED = 130


@dataclass(kw_only=True)
class DatasetOption:
    """The regime; apart, so that it stands first in the help."""

    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="Label regime: standard, random, mixed-random or mixed-adversarial.",
            show_default="standard",
        ),
    ] = None


@dataclass(kw_only=True)
class TrainCommand(
    TrainingOptions, CodedOptions, PosteriorOptions, ObjectiveOption, DatasetOption, ReportOptions
):
    """Options of ``dlgen train``; None takes the default, or with ``--resume`` the saved value."""

    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Checkpoint directory to write.",
            show_default="runs/SOURCE-ARCH-DATASET-SEED",
        ),
    ] = None
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", help="Write curves for TensorBoard to this directory."),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the interrupted run of --out, or train a finished one further.",
        ),
    ] = False


def train(options: TrainCommand) -> None:
    """Train one of the four regimes, or a posterior, and write a checkpoint directory.

    No explicit regularization is added to the cross-entropy. On the CPU the same
    options give the same bytes.
    """
    console.chosen_format(options)  # fails before the training, not after it
    require_objective(
        options,
        options.objective,
        resume=options.resume,
        curves=options.tensorboard is not None,
    )
    given = {"dataset": options.dataset, **options.settings()}
    if options.objective == "pac-bayes":
        report = train_posterior(options, options, given, options.out, options.data_dir)
        console.emit(report, options)
        return
    directory = options.out or _default_directory(given)
    try:
        result = _run(options, given, directory)
    except KeyboardInterrupt:
        if process_rank() == 0:
            console.stderr().print(_interruption(directory, options), markup=False)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if process_rank() > 0:
        return
    if result.epochs_now == 0 and options.resume and not options.quiet:
        console.stderr().print(f"Nothing was left to do: {_stop_reason(result)}.", markup=False)
    console.emit(_report(result), options)


def _interruption(directory: Path, options: TrainCommand) -> str:
    from dlgen_cli.checkpoints.runs.run_directory import partial_directory

    if not partial_directory(directory).exists():
        return "Interrupted before the first epoch: nothing was kept."
    words = ["dlgen", "train", "--resume", "--out", str(directory)]
    if options.data_dir is not None:
        words += ["--data-dir", str(options.data_dir)]
    return f"Interrupted. Go on with: {shlex.join(words)}"


def _default_directory(given: dict[str, Any]) -> Path:
    from dlgen_cli import training

    recipe = training.make_recipe(given)
    source = Path(recipe.source).resolve().name
    name = f"{source}-{recipe.architecture}-{recipe.dataset}-{recipe.seed}"
    return Path("runs") / name


def _run(options: TrainCommand, given: dict[str, Any], directory: Path) -> RunResult:
    from dlgen_cli import training

    with ExitStack() as stack:
        if process_rank() == 0:
            progress = stack.enter_context(show_progress(options, options.tensorboard))
        else:
            progress = None
        if options.resume:
            return training.resume(directory, given, data_dir=options.data_dir, progress=progress)
        if options.objective == "coded":
            return _run_coded(options, given, directory, progress)
        recipe = training.make_recipe(given)
        return training.run(recipe, directory, data_dir=options.data_dir, progress=progress)


def _run_coded(
    options: TrainCommand,
    given: dict[str, Any],
    directory: Path,
    progress: ProgressCallback | None,
) -> RunResult:
    from dlgen_cli import training
    from dlgen_cli.training.coded import CodedSettings, make_coded_recipe, run_coded

    chosen = {
        name: value
        for name in ("dim", "predictor", "step")
        if (value := getattr(options, name)) is not None
    }
    settings = CodedSettings(**chosen)
    recipe = training.make_recipe(make_coded_recipe(given))
    return run_coded(recipe, settings, directory, data_dir=options.data_dir, progress=progress)


def _report(result: RunResult) -> Report:
    from dlgen_cli import __version__, training

    config = result.config
    return Report(
        dlgen_version=__version__,
        command="train",
        settings=training.recipe_to_dict(result.recipe),
        results={
            "directory": str(result.directory),
            "train_error": config["train_error"],
            "test_error": config["test_error"],
            "holdout_error": config["holdout_error"],
            "epochs": config["epochs"],
            "stopped": _stop_reason(result),
            "examples": config["examples"],
            "parameters": config["counts"]["parameters"],
            "linf_norm": config["linf_norm"],
            "images_per_second": result.images_per_second,
        },
    )


def _stop_reason(result: RunResult) -> str:
    recipe = result.recipe
    limit, error = recipe.until_train_error, result.config["train_error"]
    if limit is not None and error <= limit:
        return f"training error {error:g} reached {limit:g}"
    return f"all {recipe.epochs} epochs were run"
