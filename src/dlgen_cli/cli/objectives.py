"""``dlgen train --objective``: what a run minimizes, and training a posterior for its bound."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Report

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS_BETWEEN_LINES = 10.0
#: Options that belong to one objective.
_OWN = {
    "cross-entropy": ("start",),
    "pac-bayes": ("anchors", "trainable", "spread", "kl_weight"),
    "coded": ("dim", "predictor", "step"),
}


@dataclass(kw_only=True)
class ObjectiveOption:
    """What ``dlgen train`` minimizes."""

    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            help="cross-entropy, the training loss alone; pac-bayes, a bound over Gaussian "
            "posteriors around --anchors; or coded, a network of few coordinates, every bit of "
            "them paid.",
        ),
    ] = "cross-entropy"


@dataclass(kw_only=True)
class PosteriorOptions:
    """How a posterior is trained."""

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
            metavar="GLOB",
            help="pac-bayes: weights and biases to train; repeatable.",
            show_default="those of the layers that give the logits",
        ),
    ] = field(default_factory=list)
    spread: Annotated[
        str | None,
        typer.Option(
            "--spread",
            help="pac-bayes: deviations of a tensor that are learned beside the prior's: none "
            "(tensor), by entry, or a factor over the entries of a row.",
            show_default="factor for the layers that give the logits, else tensor",
        ),
    ] = None
    kl_weight: Annotated[
        float | None,
        typer.Option(
            "--kl-weight",
            help="pac-bayes: weight of KL/m beside the cross-entropy.",
            show_default="5",
        ),
    ] = None


def require_objective(options: object, objective: str, *, resume: bool, curves: bool) -> None:
    """Refuse an unknown objective, and options of another one.

    Args:
        options: with the fields of all objectives.
        objective: as given.
        resume: whether to go on with a run.
        curves: whether curves are to be written for TensorBoard.

    Raises:
        UsageError: naming the option.
    """
    if objective not in _OWN:
        raise UsageError(
            f"--objective {objective!r} is unknown.", remedy=f"Choose one of: {', '.join(_OWN)}."
        )
    for owner, names in _OWN.items():
        for name in names:
            if owner != objective and getattr(options, name) not in (None, []):
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} was given with --objective {objective}; it belongs to {owner}.",
                    remedy=f"Leave out {option}, or give --objective {owner}.",
                )
    if objective == "pac-bayes" and getattr(options, "anchors", None) is None:
        raise UsageError(
            "--objective pac-bayes needs the prior's mean.",
            remedy="Give --anchors FILE, made with `dlgen anchors`.",
        )
    refused = {"--resume": resume, "--tensorboard": curves and objective == "pac-bayes"}
    for option, is_given in refused.items():
        if is_given and objective != "cross-entropy":
            raise UsageError(
                f"{option} was given with --objective {objective}, which runs in one go.",
                remedy=f"Leave out {option}.",
            )


def train_posterior(
    options: PosteriorOptions,
    report: ReportOptions,
    given: Mapping[str, Any],
    directory: Path | None,
    data_dir: Path | None,
) -> Report:
    """Train a posterior and tell what came out."""
    from dlgen_cli import __version__
    from dlgen_cli.training import posterior as posteriors
    from dlgen_cli.training.posterior.settings import posterior_settings

    assert options.anchors is not None  # noqa: S101  `require_objective` has looked
    own = {
        "trainable": tuple(options.trainable) or None,
        "spread": options.spread,
        "kl_weight": options.kl_weight,
    }
    out = directory or Path("runs") / f"{options.anchors.stem}-pac-bayes-{given.get('seed') or 0}"
    with _progress(report) as told:
        run = posteriors.train_posterior(
            options.anchors, out, given, own, data_dir=data_dir, told=told
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


@contextmanager
def _progress(options: ReportOptions) -> Iterator[Callable[[str, int, int], None] | None]:
    """Lines on stderr, ten seconds apart."""
    if options.quiet:
        yield None
        return
    output, last = console.stderr(), time.monotonic()

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            output.print(f"{what}: {done:,} of {total:,} examples", markup=False)

    yield show
