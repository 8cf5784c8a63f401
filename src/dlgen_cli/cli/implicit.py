"""``dlgen implicit``: what theory says of implicit regularization, beside a real run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.command import CommandGroup, DlgenCommand, deferred
from dlgen_cli.cli.help import METHOD, OUTPUT, PROBLEM
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.progress import showing_work
from dlgen_cli.cli.values import Choices
from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from dlgen_cli.implicit.targets import Target

_PRECONDITIONS = ("auto", "always", "never")
_DEEPEST = 64
_SPECTRUM = "5,3,1"


@dataclass(kw_only=True)
class LinearCommand(ReportOptions):
    """Options of ``dlgen implicit linear``."""

    panel: ClassVar[str] = METHOD

    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]",
            help=".npz or .safetensors with X (points in rows) and y, or .csv with y last.",
            show_default="generated",
        ),
    ] = None
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            help="Points of a generated problem.",
            show_default="20",
            rich_help_panel=PROBLEM,
        ),
    ] = None
    dim: Annotated[
        int | None,
        typer.Option(
            "--dim",
            help="Features of a generated problem.",
            show_default="100",
            rich_help_panel=PROBLEM,
        ),
    ] = None
    condition: Annotated[
        float | None,
        typer.Option(
            "--condition", help="Condition number of the generated X.", rich_help_panel=PROBLEM
        ),
    ] = None
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank", help="Rank of the generated X.", show_default="full", rich_help_panel=PROBLEM
        ),
    ] = None
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything drawn.")] = 0
    init: Annotated[
        str, typer.Option("--init", metavar="START", help="zeros, gaussian, or a file with w.")
    ] = "zeros"
    init_scale: Annotated[float, typer.Option("--init-scale", help="Factor on the start.")] = 1.0
    optimizer: Annotated[
        list[str],
        Choices(("gd", "sgd", "momentum", "adam", "sign")),
        typer.Option(
            "--optimizer",
            metavar="NAME,...",
            help="gd, sgd, momentum, adam, sign: one or gd,adam; repeatable.",
        ),
    ] = field(default_factory=lambda: ["gd"])
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr",
            help="Learning rate; adam and sign let it decay.",
            show_default="best for each optimizer",
        ),
    ] = None
    steps: Annotated[int, typer.Option("--steps", help="The most steps.")] = 50_000
    precondition: Annotated[
        str,
        Choices(_PRECONDITIONS),
        typer.Option(
            "--precondition",
            metavar="WHEN",
            help="Mix the equations so that their rows are orthonormal, which keeps the span: "
            "auto (where --steps would not do), always or never.",
        ),
    ] = "auto"
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Draw the norm along the run here: .png, .svg or .pdf.",
            rich_help_panel=OUTPUT,
        ),
    ] = None


@dataclass(kw_only=True)
class MatrixCommand(ReportOptions):
    """Options of ``dlgen implicit matrix``."""

    panel: ClassVar[str] = METHOD

    depth: Annotated[
        list[str],
        typer.Option(
            "--depth", metavar="N,...", help="Number of matrices: 2 or 1,2,3; repeatable."
        ),
    ] = field(default_factory=lambda: ["2"])
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="Matrix to reach: .npy, .npz, .csv, or CKPT:TENSOR of a checkpoint.",
            rich_help_panel=PROBLEM,
        ),
    ] = None
    spectrum: Annotated[
        str | None,
        typer.Option(
            "--spectrum",
            help="Singular values of a generated target.",
            show_default=_SPECTRUM,
            rich_help_panel=PROBLEM,
        ),
    ] = None
    dim: Annotated[
        str | None,
        typer.Option(
            "--dim",
            help="Rows, columns of a generated target.",
            show_default="as the spectrum",
            rich_help_panel=PROBLEM,
        ),
    ] = None
    epsilon: Annotated[
        float, typer.Option("--epsilon", help="Start of every singular value, above 0.")
    ] = 1e-3
    time: Annotated[
        float | None,
        typer.Option("--time", help="How long the flow runs.", show_default="until settled"),
    ] = None
    step: Annotated[
        float | None,
        typer.Option("--step", help="Learning rate.", show_default="0.02 to 0.1 over curvature"),
    ] = None
    unaligned: Annotated[
        bool,
        typer.Option("--unaligned", help="Start from a random matrix, against the assumption."),
    ] = False
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything drawn.")] = 0
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Draw singular values against time: .png, .svg or .pdf.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    animate: Annotated[
        Path | None,
        typer.Option(
            "--animate", help="The same as a moving picture: .gif.", rich_help_panel=OUTPUT
        ),
    ] = None


def linear(options: LinearCommand) -> None:
    """Linear regression: does training find the interpolant of least norm?

    An optimizer that starts at alpha and moves only in the span of the
    points ends at the interpolant of least norm plus the part of alpha that
    is orthogonal to them all.
    """
    format_ = console.chosen_format(options)  # refuse before any work
    _check_linear(options)
    from dlgen_cli.implicit import linear as regression
    from dlgen_cli.implicit import problems, results

    if options.plot is not None:
        from dlgen_cli.render.plots import implicit as implicit_plots

        implicit_plots.check_plot(options.plot)
    if options.data is not None:
        problem = problems.read_problem(options.data)
    else:
        problem = problems.generate_problem(
            20 if options.points is None else options.points,
            100 if options.dim is None else options.dim,
            options.seed,
            condition=options.condition,
            rank=options.rank,
        )
    start = problems.make_start(
        options.init, options.init_scale, problem.points.shape[1], options.seed
    )
    theory = regression.analyse(problem, start)
    outcomes = [
        regression.run_optimizer(
            problem,
            theory,
            name,
            learning_rate=options.lr,
            steps=options.steps,
            seed=options.seed,
            mixing=options.precondition,  # type: ignore[arg-type] # checked above
        )
        for name in _words(options.optimizer)
    ]
    found = results.linear_results(problem, theory, outcomes)
    if options.plot is not None:
        implicit_plots.plot_norms(found, options.plot)
    page = results.linear_page(found) if format_.is_page else found
    sizes = dict(zip(("points", "dim"), problem.points.shape, strict=True))
    settings = {**_settings(options), "data": problem.origin, **sizes}
    settings["optimizer"] = _words(options.optimizer)
    _emit(options, "implicit linear", page, settings)


def matrix(options: MatrixCommand) -> None:
    """Matrix factorization: singular values rise together or one after another.

    Gradient descent on N factors is set beside the solution of gradient flow
    from a balanced start of size epsilon: together for N = 1, one after
    another, the largest first, for N of 2 and more.
    """
    format_ = console.chosen_format(options)  # refuse before any work
    depths, aligned = _depths(options.depth), not options.unaligned
    _check_matrix(options)
    from dlgen_cli.implicit import factorization, plan, results

    if options.plot is not None or options.animate is not None:
        from dlgen_cli.render.plots import implicit as implicit_plots

        implicit_plots.check_plot(options.plot)
        implicit_plots.check_animation(options.animate)
    target = _target(options)
    plans = [
        plan.make_plan(
            target,
            depth,
            options.epsilon,
            time=options.time,
            step=options.step,
            aligned=aligned,
        )
        for depth in depths
    ]
    with showing_work(options) as progress:
        comparisons = [
            factorization.compare(
                target,
                one,
                aligned=aligned,
                seed=options.seed,
                progress=progress,
            )
            for one in plans
        ]
    found = results.matrix_results(target, comparisons, start=options.epsilon, aligned=aligned)
    if options.plot is not None or options.animate is not None:
        panels = results.curve_panels(target, comparisons, aligned=aligned)
        if options.plot is not None:
            implicit_plots.plot_curves(panels, options.plot)
        if options.animate is not None:
            implicit_plots.animate_curves(panels, options.animate)
    page = results.matrix_page(found) if format_.is_page else found
    _warn_of_stillness(found, options)
    settings = {**_settings(options), "target": target.origin, "depth": depths}
    settings["spectrum"] = None if options.target else options.spectrum or _SPECTRUM
    settings["dim"] = list(target.matrix.shape)
    _emit(options, "implicit matrix", page, settings)


def _warn_of_stillness(found: dict[str, Any], options: MatrixCommand) -> None:
    for row in found.get("depths", [found]):
        predicted, seen = row["takeoff_predicted"], row["takeoff_measured"]
        if predicted[0] is not None and not any(time is not None for time in seen):
            console.stderr().print(
                f"warning: at depth {row['depth']} no singular value takes off before time "
                f"{row['times'][-1]:.4g}; the first would at {predicted[0]:.4g}. Raise --epsilon"
                f"{'' if options.time is None else ' or --time'}.",
                style="yellow",
                markup=False,
            )


def _emit(
    options: ReportOptions, command: str, results: dict[str, Any], settings: dict[str, Any]
) -> None:
    from dlgen_cli import __version__
    from dlgen_cli.records import Report

    report = Report(dlgen_version=__version__, command=command, settings=settings, results=results)
    console.emit(report, options)


_HOUSEKEEPING = frozenset(
    {"format", "json", "output", "quiet", "verbose", "debug", "plot", "animate"}
)


def _settings(options: ReportOptions) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name not in _HOUSEKEEPING}


def _check_linear(options: LinearCommand) -> None:
    generated = {
        "--points": options.points,
        "--dim": options.dim,
        "--condition": options.condition,
        "--rank": options.rank,
    }
    given = [name for name, value in generated.items() if value is not None]
    if options.data is not None and given:
        raise UsageError(
            f"{', '.join(given)} and a file were both given.", remedy="The file has its own sizes."
        )
    if options.lr is not None:
        _require_positive("--lr", options.lr)
    if options.steps < 1:
        raise UsageError(f"--steps {options.steps} was given.", remedy="Give at least 1.")
    _check_seed(options.seed)


def _check_matrix(options: MatrixCommand) -> None:
    from dlgen_cli.implicit.targets import LARGEST, SMALLEST

    if not SMALLEST <= options.epsilon <= LARGEST:
        raise UsageError(
            f"--epsilon {options.epsilon:g} was given; {SMALLEST:g} to {LARGEST:g} was expected.",
            remedy="From 0 nothing would move; 0.001 is usual.",
        )
    for name, value in (("--time", options.time), ("--step", options.step)):
        if value is not None:
            _require_positive(name, value)
    if options.target is not None and (options.spectrum, options.dim) != (None, None):
        raise UsageError(
            "--target and --spectrum or --dim were both given.",
            remedy="The target has its own singular values.",
        )
    _check_seed(options.seed)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise UsageError(f"--seed {seed} was given.", remedy="Give 0 or more.")


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} {value:g} was given.", remedy="Give a number above 0.")


def _words(texts: Sequence[str]) -> list[str]:
    """The words of a repeatable option that also takes commas, each once."""
    return list(dict.fromkeys(word.strip() for text in texts for word in text.split(",")))


def _depths(texts: Sequence[str]) -> list[int]:
    words = _words(texts)
    for word in words:
        if not (word.isascii() and word.isdigit() and 1 <= int(word) <= _DEEPEST):
            raise UsageError(
                f"--depth {word} was given; a whole number from 1 to {_DEEPEST} was expected.",
                remedy="Several are separated by commas: 1,2,3.",
            )
    return list(dict.fromkeys(int(word) for word in words))


def _target(options: MatrixCommand) -> Target:
    from dlgen_cli.implicit import targets

    if options.target is not None:
        path = Path(options.target)
        if path.suffix.lower() in {".npy", ".npz", ".csv"}:
            return targets.read_target(path)
        return _checkpoint_target(options.target)
    spectrum = _SPECTRUM if options.spectrum is None else options.spectrum
    return targets.generate_target(spectrum, options.dim, options.seed)


def _checkpoint_target(text: str) -> Target:
    from dlgen_cli.checkpoints.reader import open_checkpoint
    from dlgen_cli.implicit import targets

    name = ""
    path = text
    if not Path(text).exists():
        path, _, name = text.rpartition(":")
        path = path or text
    if name.startswith("//"):  # the colon of an address, hf://org/name
        path, name = text, ""
    checkpoint = open_checkpoint(Path(path))
    matrices = [info.name for info in checkpoint.floating if len(info.shape) >= 2]
    if not name and len(matrices) == 1:
        name = matrices[0]
    if name not in checkpoint.tensors or not checkpoint.tensors[name].is_floating:
        what = f"no floating-point tensor {name}" if name else f"{len(matrices)} matrices"
        shown = ", ".join(matrices[:5]) + (", ..." if len(matrices) > 5 else "")
        raise UsageError(
            f"{path} holds {what}.", remedy=f"Name one: {path}:TENSOR, out of {shown or 'none'}."
        )
    array = checkpoint.read(name).double().numpy()
    return targets.from_matrix(array, f"{path}:{name}")


implicit_app = typer.Typer(
    name="implicit",
    cls=CommandGroup,
    help="Implicit regularization: theory beside a real run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _function, _options, _examples in (
    (
        linear,
        LinearCommand,
        """
        dlgen implicit linear                    a generated problem
        dlgen implicit linear points.npz --optimizer gd,adam --plot norms.svg
        """,
    ),
    (
        matrix,
        MatrixCommand,
        """
        dlgen implicit matrix --depth 1,2,3 --plot curves.svg
        dlgen implicit matrix --target model.safetensors:fc.weight --animate rise.gif
        """,
    ),
):
    implicit_app.command(_function.__name__, cls=DlgenCommand, epilog=_examples)(
        deferred(_function, _options)  # type: ignore[arg-type]
    )
