"""``dlgen demo``: train a small network on embedded data, then certify it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.help import METHOD, OUTPUT
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.progress import showing_work
from dlgen_cli.cli.training_progress import show_progress


@dataclass(kw_only=True)
class DemoCommand(ReportOptions):
    """Options of ``dlgen demo``."""

    panel: ClassVar[str] = OUTPUT

    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the run.", rich_help_panel=METHOD)
    ] = 0
    out: Annotated[
        Path | None,
        typer.Option(
            "--save",
            "--out",
            help="Keep the checkpoint directory here.",
            show_default="thrown away",
        ),
    ] = None


#: Priors of the demo: a list, so the union over it is paid.
_SIGMAS = (0.1, 0.3)
_HOLDOUT = 142
#: The demo asks for a margin that the ramp loss of a digit classifier can have.
_MARGIN = 1.0


def demo(options: DemoCommand) -> None:
    """Train a small network on scikit-learn's digits and certify it; no network is needed.

    The network is a chain of three 64 x 64 matrices, kept in the box of the Rademacher-shell
    bound. Its own initialization is the anchor; 142 examples are held out.
    """
    from dlgen_cli import training
    from dlgen_cli.audit.certify import certify
    from dlgen_cli.evidence.options import AuditOptions, DataOptions

    console.chosen_format(options)
    recipe = training.make_recipe(
        {"source": "digits", "seed": options.seed, "clip_linf": 0.5, "holdout": _HOLDOUT}
    )
    with _directory(options.out) as directory:
        with show_progress(options) as progress:
            result = training.run(recipe, directory, progress=progress)
        with showing_work(options) as measured:
            report = certify(
                AuditOptions(checkpoint=directory, sigma=_SIGMAS, margin=_MARGIN, r=8),
                DataOptions(data="digits"),
                command="demo",
                families=("compression", "pac_bayes", "rademacher"),
                layer_progress=measured,
            )
    config = result.config
    results = {
        "directory": str(options.out) if options.out else None,
        "train_error": config["train_error"],
        "test_error": config["test_error"],
        "epochs": config["epochs"],
    }
    console.emit(replace(report, results=results | dict(report.results or {})), options)


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="dlgen-") as folder:
        yield Path(folder) / "digits-mlp"
