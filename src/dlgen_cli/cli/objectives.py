"""``dlgen train --objective``: what a run may minimize, its options, and how it is trained."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.help import CODED, DATA, OUTPUT, PAC_BAYES, TRAINING
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.progress import showing_work
from dlgen_cli.cli.training_options import FeatureOptions, TrainingOptions
from dlgen_cli.cli.training_progress import Shown, show_progress
from dlgen_cli.cli.values import Choices, listed
from dlgen_cli.errors import UsageError
from dlgen_cli.processes import process_rank
from dlgen_cli.records import REGIMES, Report

if TYPE_CHECKING:
    from dlgen_cli.training import RunResult


@dataclass(kw_only=True)
class DatasetOption:
    """The regime; apart, so that it stands first in the help."""

    panel: ClassVar[str] = DATA

    dataset: Annotated[
        str | None,
        Choices(REGIMES),
        typer.Option(
            "--dataset",
            metavar="REGIME",
            help=f"Label regime: {listed(REGIMES)}.",
            show_default="standard",
        ),
    ] = None


@dataclass(kw_only=True)
class ObjectiveOption:
    """What ``dlgen train`` minimizes."""

    panel: ClassVar[str] = TRAINING

    objective: Annotated[
        str,
        Choices(OBJECTIVES),
        typer.Option(
            "--objective",
            metavar="NAME",
            help="cross-entropy, the training loss alone; pac-bayes, the bound itself, of Gaussian "
            "posteriors around --anchors; or coded, a network of few coordinates, every bit of "
            "them paid.",
        ),
    ] = "cross-entropy"


@dataclass(kw_only=True)
class PosteriorOptions:
    """How a posterior is trained."""

    panel: ClassVar[str] = PAC_BAYES

    anchors: Annotated[
        Path | None,
        typer.Option(
            "--anchors",
            help="pac-bayes: the prior's mean, from `dlgen anchors` or a run; it fixes the "
            "architecture.",
        ),
    ] = None
    trainable: Annotated[
        list[str],
        typer.Option(
            "--trainable",
            metavar="GLOB,...",
            help="pac-bayes: weights and biases to train; repeatable.",
            show_default="those of the layers that give the logits",
        ),
    ] = field(default_factory=list)
    spread: Annotated[
        str | None,
        Choices(("auto", "tensor", "entry", "factor")),
        typer.Option(
            "--spread",
            metavar="NAME",
            help="pac-bayes: deviations of a tensor that are learned beside the prior's: none "
            "(tensor), by entry, or a factor over the entries of a row.",
            show_default="factor for the layers that give the logits, else tensor",
        ),
    ] = None


@dataclass(kw_only=True)
class CodedOptions:
    """Over how many coordinates a network is coded, and how."""

    panel: ClassVar[str] = CODED

    dim: Annotated[
        int | None,
        typer.Option(
            "--dim",
            help="With coded: coordinates that a random projection takes to all parameters.",
            show_default="one for each parameter",
        ),
    ] = None
    predictor: Annotated[
        str | None,
        Choices(("code", "gaussian")),
        typer.Option(
            "--predictor",
            metavar="NAME",
            help="With coded: code (a quantised network) or gaussian (a random one).",
            show_default="gaussian",
        ),
    ] = None
    step: Annotated[
        float | None,
        typer.Option(
            "--step", help="With --predictor code: step of the quantiser.", show_default="0.5"
        ),
    ] = None


@dataclass(kw_only=True)
class TrainCommand(
    TrainingOptions,
    FeatureOptions,
    CodedOptions,
    PosteriorOptions,
    ObjectiveOption,
    DatasetOption,
    ReportOptions,
):
    """Options of ``dlgen train``; None takes the default, or with ``--resume`` the saved value."""

    panel: ClassVar[str] = OUTPUT

    out: Annotated[
        Path | None,
        typer.Option(
            "--save",
            "--out",
            metavar="DIR",
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
            help="Go on with the interrupted run of --save, or train a finished one further.",
            rich_help_panel=TRAINING,
        ),
    ] = False

    def given(self) -> dict[str, Any]:
        """All settings of the recipe by name; None where the user said nothing."""
        return {"dataset": self.dataset, **self.of_features(), **self.settings()}

    def kept(self) -> str:
        """What is said on Ctrl-C."""
        from dlgen_cli.checkpoints.runs.run_config import partial_directory

        directory = self.out or _default_directory(self.given())
        if not partial_directory(directory).exists():
            return "Interrupted before the first epoch: nothing was kept."
        words = ["dlgen", "train", "--resume", "--save", str(directory)]
        if self.data_dir is not None:
            words += ["--data-dir", str(self.data_dir)]
        return f"Interrupted. Go on with: {shlex.join(words)}"


def _train_network(options: TrainCommand, given: Mapping[str, Any]) -> Report | None:
    from dlgen_cli import training

    def run(directory: Path, shown: Shown) -> RunResult:
        data_dir = options.data_dir
        if options.resume:
            return training.resume(
                directory, given, data_dir=data_dir, progress=shown.epochs, work=shown.work
            )
        recipe = training.make_recipe(given)
        return training.run(
            recipe, directory, data_dir=data_dir, progress=shown.epochs, work=shown.work
        )

    return _watched(options, given, run)


def _train_coded(options: TrainCommand, given: Mapping[str, Any]) -> Report | None:
    from dlgen_cli import training
    from dlgen_cli.training.coded import CodedSettings, make_coded_recipe, run_coded

    def run(directory: Path, shown: Shown) -> RunResult:
        chosen = {
            one.name: value
            for one in fields(CodedOptions)
            if (value := getattr(options, one.name)) is not None
        }
        settings = CodedSettings(**chosen)
        recipe = training.make_recipe(make_coded_recipe(given))
        return run_coded(
            recipe,
            settings,
            directory,
            data_dir=options.data_dir,
            progress=shown.epochs,
            work=shown.work,
        )

    return _watched(options, given, run)


def _watched(
    options: TrainCommand,
    given: Mapping[str, Any],
    run: Callable[[Path, Shown], RunResult],
) -> Report | None:
    """Run with progress on stderr; None in a process that does not report."""
    directory = options.out or _default_directory(given)
    with ExitStack() as stack:
        shown = Shown()
        if process_rank() == 0:
            shown = stack.enter_context(show_progress(options, options.tensorboard))
        result = run(directory, shown)
    if process_rank() > 0:
        return None
    if result.epochs_now == 0 and options.resume and not options.quiet:
        console.stderr().print(f"Nothing was left to do: {_stop_reason(result)}.", markup=False)
    return _report(result)


def _default_directory(given: Mapping[str, Any]) -> Path:
    from dlgen_cli import training

    recipe = training.make_recipe(given)
    source = Path(recipe.source).resolve().name
    if recipe.features:
        source = Path(recipe.features[0]).stem
    name = f"{source}-{recipe.architecture}-{recipe.dataset}-{recipe.seed}"
    return Path("runs") / name


def _train_posterior(options: TrainCommand, given: Mapping[str, Any]) -> Report:
    """Train a posterior and report what came out."""
    from dlgen_cli import __version__
    from dlgen_cli.training import posterior as posteriors
    from dlgen_cli.training.posterior.settings import posterior_settings

    own = {
        "trainable": tuple(options.trainable) or None,
        "spread": options.spread,
    }
    named = options.anchors or options.features[0]  # `require_objective` has looked
    out = options.out or Path("runs") / f"{named.stem}-pac-bayes-{given.get('seed') or 0}"
    with showing_work(options) as progress:
        run = posteriors.train_posterior(
            options.anchors, out, given, own, data_dir=options.data_dir, progress=progress
        )
    config = run.config
    return Report(
        dlgen_version=__version__,
        command="train",
        settings=posterior_settings(run.recipe),
        results={
            "directory": str(run.directory),
            "examples": config["examples"],
            "trained_coordinates": len(run.trained),
            "trained_entries": run.entries,
            "kl_nats": run.last.kl_nats,
            "gibbs_error_on_the_way": run.last.running_error,
            "train_error": config["train_error"],
            "test_error": config["test_error"],
            "holdout_error": config["holdout_error"],
            "epochs": config["epochs"],
        },
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a run may minimize.

    Attributes:
        train: trains, and reports; None in a process that does not report.
        options: fields of `TrainCommand` that belong to it alone.
        needs_anchors: whether ``--anchors`` must be given; features are enough for a head.
        resumes: whether an interrupted run can go on.
        has_curves: whether curves are written for TensorBoard.
    """

    train: Callable[[TrainCommand, Mapping[str, Any]], Report | None]
    options: tuple[str, ...]
    needs_anchors: bool = False
    resumes: bool = False
    has_curves: bool = False


OBJECTIVES: Mapping[str, Objective] = {
    "cross-entropy": Objective(
        train=_train_network, options=("start",), resumes=True, has_curves=True
    ),
    "pac-bayes": Objective(
        train=_train_posterior,
        options=tuple(one.name for one in fields(PosteriorOptions)),
        needs_anchors=True,
    ),
    "coded": Objective(
        train=_train_coded,
        options=tuple(one.name for one in fields(CodedOptions)),
        has_curves=True,
    ),
}


def require_objective(options: TrainCommand) -> Objective:
    """Refuse an unknown objective, and options of another one.

    Returns:
        The objective that is asked for.

    Raises:
        UsageError: naming the option.
    """
    objective = options.objective
    if objective not in OBJECTIVES:
        raise UsageError(
            f"--objective {objective!r} is unknown.",
            remedy=f"Choose one of: {', '.join(OBJECTIVES)}.",
        )
    for owner, one in OBJECTIVES.items():
        for name in one.options:
            if owner != objective and getattr(options, name) not in (None, []):
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} was given with --objective {objective}; it belongs to {owner}.",
                    remedy=f"Leave out {option}, or give --objective {owner}.",
                )
    chosen = OBJECTIVES[objective]
    if chosen.needs_anchors and options.anchors is None and not options.features:
        raise UsageError(
            f"--objective {objective} needs the prior's mean.",
            remedy="Give --anchors FILE, made with `dlgen anchors`, or --features FILE.",
        )
    refused = {
        "--resume": options.resume and not chosen.resumes,
        "--tensorboard": options.tensorboard is not None and not chosen.has_curves,
    }
    for option, is_refused in refused.items():
        if is_refused:
            raise UsageError(
                f"{option} was given with --objective {objective}, which runs in one go.",
                remedy=f"Leave out {option}.",
            )
    return chosen
