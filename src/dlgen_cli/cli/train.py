"""``dlgen train``: options to a recipe, a run to a report."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.training_progress import show_progress
from dlgen_cli.records import Report

if TYPE_CHECKING:
    from dlgen_cli.training import RunResult

_EXIT_INTERRUPTED = 130


@dataclass(kw_only=True)
class TrainCommand(ReportOptions):
    """Options of ``dlgen train``; None takes the default, or with ``--resume`` the saved value."""

    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="Label regime: standard, random, mixed-random or mixed-adversarial.",
            show_default="standard",
        ),
    ] = None
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Images: cifar10, digits, or a directory with train/CLASS/* and test/CLASS/*.",
            show_default="cifar10",
        ),
    ] = None
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            help="Architecture: mobilenet_v2, mlp, or a classification model of torchvision.",
            show_default="mlp for digits, else mobilenet_v2",
        ),
    ] = None
    width: Annotated[
        int | None,
        typer.Option("--width", help="Dimension of the mlp's matrices.", show_default="64"),
    ] = None
    depth: Annotated[
        int | None,
        typer.Option("--depth", help="Number of the mlp's matrices.", show_default="3"),
    ] = None
    stem: Annotated[
        str | None,
        typer.Option(
            "--stem",
            help="First strides of mobilenet_v2: small (32 x 32 becomes 4 x 4), medium (2 x 2) or "
            "imagenet (1 x 1); each costs a CPU several times the next.",
            show_default="small",
        ),
    ] = None
    optimizer: Annotated[
        str | None,
        typer.Option("--optimizer", help="adam, or sgd with momentum 0.9.", show_default="adam"),
    ] = None
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Learning rate.", show_default="adam 0.001 (mlp 0.003), sgd 0.1"),
    ] = None
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            help="Learning rate over the run: constant, or linear to 0 at the last epoch.",
            show_default="constant",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Examples for each step.", show_default="128"),
    ] = None
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", help="The most passes over the data.", show_default="100, mlp 3000"
        ),
    ] = None
    until_train_error: Annotated[
        float | None,
        typer.Option(
            "--until-train-error",
            help="Stop at this share of wrong training answers or less; -1 runs all epochs.",
            show_default="0",
        ),
    ] = None
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            "--evaluate-every",
            help="Epochs between two evaluations on all training and test examples.",
            show_default="1",
        ),
    ] = None
    m: Annotated[
        int | None,
        typer.Option(
            "--m",
            help="Examples to train on.",
            show_default="all that the holdout leaves",
        ),
    ] = None
    holdout: Annotated[
        int | None,
        typer.Option(
            "--holdout",
            help="Real examples set aside before anything else and never trained on.",
            show_default="0",
        ),
    ] = None
    clip_linf: Annotated[
        float | None,
        typer.Option(
            "--clip-linf",
            help="Keep every parameter within this distance of 0 after every step.",
            show_default="no bound",
        ),
    ] = None
    adversary: Annotated[
        str | None,
        typer.Option(
            "--adversary",
            help="Wrong labels of mixed-adversarial: shift (y + 1) or uniform.",
            show_default="shift",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Seed of all randomness of the run.", show_default="0"),
    ] = None
    device: Annotated[
        str | None,
        typer.Option("--device", help="auto, cpu, cuda or mps.", show_default="auto"),
    ] = None
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="float32, bfloat16 (mixed precision), or auto: mixed on CUDA.",
            show_default="auto",
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Threads on the CPU; the bytes of a run depend on their number.",
            show_default="all, mlp 1",
        ),
    ] = None
    compile: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Put the steps through torch.compile."),
    ] = None
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Where cifar10 lies: torchvision's files or train/ and test/ as image folders; "
            "downloaded where it is not there.",
        ),
    ] = None
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


# Options that are settings of the recipe under another name.
_RENAMED = {"arch": "architecture", "lr": "learning_rate"}
_NOT_SETTINGS = {"data_dir", "out", "resume", "tensorboard"}


def train(options: TrainCommand) -> None:
    """Train one of the four regimes and write a checkpoint directory.

    No explicit regularization is added. On the CPU the same options give the same bytes.
    """
    console.chosen_format(options)  # fails before the training, not after it
    given = _given(options)
    directory = options.out or _default_directory(given)
    try:
        result = _run(options, given, directory)
    except KeyboardInterrupt:
        if is_first_process():
            console.stderr().print(_interruption(directory, options), markup=False)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if not is_first_process():
        return
    if result.epochs_now == 0 and options.resume and not options.quiet:
        console.stderr().print(f"Nothing was left to do: {_stop_reason(result)}.", markup=False)
    console.emit(_report(result), options)


def _interruption(directory: Path, options: TrainCommand) -> str:
    from dlgen_cli.checkpoints.run_directory import partial_directory

    if not partial_directory(directory).exists():
        return "Interrupted before the first epoch: nothing was kept."
    words = ["dlgen", "train", "--resume", "--out", str(directory)]
    if options.data_dir is not None:
        words += ["--data-dir", str(options.data_dir)]
    return f"Interrupted. Go on with: {shlex.join(words)}"


def _given(options: TrainCommand) -> dict[str, Any]:
    """The settings of the recipe by name; None where the user said nothing."""
    common = {one.name for one in fields(ReportOptions)}
    return {
        _RENAMED.get(one.name, one.name): getattr(options, one.name)
        for one in fields(options)
        if one.name not in common | _NOT_SETTINGS
    }


def _default_directory(given: dict[str, Any]) -> Path:
    from dlgen_cli import training

    recipe = training.make_recipe(given)
    source = Path(recipe.source).resolve().name
    name = f"{source}-{recipe.architecture}-{recipe.dataset}-{recipe.seed}"
    return Path("runs") / name


def _run(options: TrainCommand, given: dict[str, Any], directory: Path) -> RunResult:
    from dlgen_cli import training

    with ExitStack() as stack:
        if is_first_process():
            progress = stack.enter_context(show_progress(options, options.tensorboard))
        else:
            progress = None
        if options.resume:
            return training.resume(directory, given, data_dir=options.data_dir, progress=progress)
        recipe = training.make_recipe(given)
        return training.run(recipe, directory, data_dir=options.data_dir, progress=progress)


def is_first_process() -> bool:
    """Whether this process reports: the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


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
