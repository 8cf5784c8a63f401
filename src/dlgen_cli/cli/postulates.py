"""``dlgen postulates``: the four regimes side by side, and a verdict on each postulate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.help import METHOD, OUTPUT, TRAINING
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.training_options import TrainingOptions
from dlgen_cli.cli.training_progress import show_progress
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Report

if TYPE_CHECKING:
    from dlgen_cli.postulates import FinishedRun, Verdict

_FOLDER = Path("runs/postulates")


@dataclass(kw_only=True)
class PostulatesCommand(TrainingOptions, ReportOptions):
    """Options of ``dlgen postulates``: those of ``dlgen train`` but for the regime."""

    panel: ClassVar[str] = OUTPUT

    delta: Annotated[
        float,
        typer.Option(
            "--delta",
            help="Probability that an interval of a test error fails.",
            rich_help_panel=METHOD,
        ),
    ] = 0.05
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N,N,...",
            help="Train every regime once for each of these seeds, in DIR/seed-N; a postulate "
            "then holds where it does for each.",
            show_default="the one --seed",
            rich_help_panel=TRAINING,
        ),
    ] = None
    out: Annotated[
        Path,
        typer.Option(
            "--save",
            "--out",
            metavar="DIR",
            help="Holds the four runs, one directory each, and the curves and pages.",
        ),
    ] = _FOLDER

    def kept(self) -> str:
        """What is said on Ctrl-C."""
        return "Interrupted. The same command goes on."


def postulates(options: PostulatesCommand) -> None:
    """Run the four regimes, or pick up what is there, and judge the four postulates.

    Finished runs under --save are taken as they are, unfinished ones go on, missing ones are
    trained. Beside them it writes curves.png, curves.svg, report.html and report.json.
    """
    from dlgen_cli.bounds.ranges import require_delta
    from dlgen_cli.postulates import JUDGED, judge, read_runs

    console.chosen_format(options)
    require_delta(options.delta)
    directories = _directories(options)
    for directory, seed in directories.items():
        for regime in JUDGED:
            _finish(directory / regime, seed, options)
    runs = read_runs(list(directories), options.delta)
    report = _report(options, runs, judge(runs))
    written = _write_pages(options.out, report)
    console.emit(report, options)
    if not options.quiet:
        names = ", ".join(written)
        console.stderr().print(f"Pages and curves in {options.out}: {names}.", markup=False)


def _directories(options: PostulatesCommand) -> dict[Path, int | None]:
    """Where the runs of each seed are, and the seed; None where it is that of the run or 0."""
    if options.seeds is None:
        there = sorted(options.out.glob("seed-*"))
        return dict.fromkeys(there or [options.out], options.seed)
    if options.seed is not None:
        raise UsageError("--seed and --seeds exclude each other.", remedy="Give one of them.")
    words = [word.strip() for word in options.seeds.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise UsageError(
            f"--seeds is {options.seeds}.", remedy="Give different whole numbers: --seeds 0,1,2."
        )
    return {options.out / f"seed-{int(word)}": int(word) for word in words}


def _finish(directory: Path, seed: int | None, options: PostulatesCommand) -> None:
    """Train a regime, or go on with it, unless it is finished."""
    from dlgen_cli import training

    regime = directory.name
    given = {"dataset": regime, **options.settings()}
    if seed is not None:
        given["seed"] = seed
    if training.is_finished(directory):
        training.require_same(directory, given)
        if not options.quiet:
            console.stderr().print(f"{regime}: taken from {directory}", markup=False)
        return
    is_new = not training.is_started(directory)
    if not options.quiet:
        console.stderr().print(
            f"{regime}: {'training' if is_new else 'going on'} in {directory}", markup=False
        )
    data_dir = options.data_dir
    with show_progress(options) as shown:
        if is_new:
            training.run(
                training.make_recipe(given),
                directory,
                data_dir=data_dir,
                progress=shown.epochs,
                work=shown.work,
            )
        else:
            training.resume(
                directory, given, data_dir=data_dir, progress=shown.epochs, work=shown.work
            )


def _report(options: PostulatesCommand, runs: list[FinishedRun], verdicts: list[Verdict]) -> Report:
    from dlgen_cli import __version__
    from dlgen_cli.postulates import mean_curve, runs_by_regime

    groups = runs_by_regime(runs)
    return Report(
        dlgen_version=__version__,
        command="postulates",
        settings={"out": str(options.out), "delta": options.delta},
        results={
            "runs": [_row(run) for run in runs],
            "over_seeds": [_over_seeds(group) for group in groups.values()],
            "verdicts": [{**asdict(verdict), "holds": verdict.holds} for verdict in verdicts],
            "curves": {name: mean_curve(group) for name, group in groups.items()},
        },
    )


def _row(run: FinishedRun) -> dict[str, Any]:
    return {
        "dataset": run.dataset,
        "seed": run.seed,
        "examples": run.examples,
        "altered": run.altered,
        "parameters": run.parameters,
        "train_error": run.train_error,
        "test_error": run.test_error,
        "test_error_lower": run.test_error_interval.lower,
        "test_error_upper": run.test_error_interval.upper,
        "epochs": run.epochs,
    }


def _over_seeds(runs: list[FinishedRun]) -> dict[str, Any]:
    """Mean and range of the errors of one regime."""
    from dlgen_cli.postulates import Spread

    return {
        "dataset": runs[0].dataset,
        "seeds": [run.seed for run in runs],
        "train_error": asdict(Spread.over([run.train_error for run in runs])),
        "test_error": asdict(Spread.over([run.test_error for run in runs])),
    }


def _write_pages(directory: Path, report: Report) -> list[str]:
    """Write the curves and the pages.

    Returns:
        The names of the files.
    """
    from dlgen_cli.errors import DependencyError
    from dlgen_cli.render import render_text
    from dlgen_cli.render.plots.learning_curves import plot_learning_curves

    curves = (report.results or {})["curves"]
    written = []
    try:
        for name in ("curves.png", "curves.svg"):
            plot_learning_curves(curves, directory / name)
            written.append(name)
    except DependencyError as error:
        console.stderr().print(f"No curves are drawn: {error}", markup=False)
    for name, format_ in (("report.html", "html"), ("report.json", "json")):
        console.write_whole(directory / name, render_text(report, format_))
        written.append(name)
    return written
