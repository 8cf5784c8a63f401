"""``dlgen train``: options to a recipe, a run to a report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.records import Report

if TYPE_CHECKING:
    from rich.console import Console

    from dlgen_cli.training import Progress, ProgressCallback, RunResult

_EXIT_INTERRUPTED = 130
_SECONDS_BETWEEN_LINES = 10.0


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
            help="Images: cifar10, digits or a directory. This version trains digits.",
            show_default="cifar10",
        ),
    ] = None
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            help="Architecture. This version trains mlp.",
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
    optimizer: Annotated[
        str | None,
        typer.Option("--optimizer", help="adam, or sgd with momentum 0.9.", show_default="adam"),
    ] = None
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Learning rate.", show_default="adam 0.003, sgd 0.1"),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Examples for each step.", show_default="128"),
    ] = None
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", help="The most passes over the data.", show_default="3000"),
    ] = None
    until_train_error: Annotated[
        float | None,
        typer.Option(
            "--until-train-error",
            help="Stop at this share of wrong training answers or less; -1 runs all epochs.",
            show_default="0",
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
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Where the source keeps its files; digits needs none."),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Checkpoint directory to write.",
            show_default="runs/SOURCE-ARCH-DATASET-SEED",
        ),
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
_NOT_SETTINGS = {"data_dir", "out", "resume"}


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
        console.stderr().print(_interruption(directory), markup=False)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if result.epochs_now == 0 and options.resume and not options.quiet:
        console.stderr().print(f"Nothing was left to do: {_stop_reason(result)}.", markup=False)
    console.emit(_report(result), options)


def _interruption(directory: Path) -> str:
    from dlgen_cli.checkpoints.run_directory import partial_directory

    if not partial_directory(directory).exists():
        return "Interrupted before the first epoch: nothing was kept."
    command = shlex.join(["dlgen", "train", "--resume", "--out", str(directory)])
    return f"Interrupted. Go on with: {command}"


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
    name = f"{recipe.source}-{recipe.architecture}-{recipe.dataset}-{recipe.seed}"
    return Path("runs") / name


def _run(options: TrainCommand, given: dict[str, Any], directory: Path) -> RunResult:
    from dlgen_cli import training

    if options.resume:
        with show_progress(options) as progress:
            return training.resume(directory, given, data_dir=options.data_dir, progress=progress)
    recipe = training.make_recipe(given)
    with show_progress(options) as progress:
        return training.run(recipe, directory, data_dir=options.data_dir, progress=progress)


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


@contextmanager
def show_progress(options: ReportOptions) -> Iterator[ProgressCallback | None]:
    """Progress over epochs on stderr: a bar on a terminal, else a line now and then."""
    console_ = console.stderr()
    if options.quiet:
        yield None
    elif console_.is_terminal:
        with _bar(console_) as show:
            yield show
    else:
        yield _lines(console_)


@contextmanager
def _bar(stderr: Console) -> Iterator[ProgressCallback]:
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("epoch"),
        rich_progress.MofNCompleteColumn(),
        rich_progress.BarColumn(bar_width=20),
        rich_progress.TextColumn("{task.description}"),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(state: Progress) -> None:
            bar.update(
                task, completed=state.epoch, total=state.epochs, description=_describe(state)
            )

        yield show


def _lines(stderr: Console) -> ProgressCallback:
    last = time.monotonic()

    def show(state: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            stderr.print(
                f"epoch {state.epoch}/{state.epochs}: {_describe(state)}",
                markup=False,
            )

    return show


def _describe(state: Progress) -> str:
    return f"train error {state.train_error:.4f}, {state.images_per_second:,.0f} images/s"
