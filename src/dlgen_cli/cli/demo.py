"""``dlgen demo``: the whole story on embedded data, from training to a certificate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from dlgen_cli.bounds.pac_bayes_posterior import POSTERIOR
from dlgen_cli.cli import console
from dlgen_cli.cli.help import METHOD, OUTPUT
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.progress import showing_work
from dlgen_cli.cli.training_progress import show_progress

if TYPE_CHECKING:
    from dlgen_cli.records import Report
    from dlgen_cli.training.posterior import PosteriorRun


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
            help="Folder for both networks, the page and the report.",
            show_default="dlgen-demo, with a number where that is taken",
        ),
    ] = None


_NEXT = """\
dlgen audit MODEL --m N            what its weights prove, after N examples
dlgen certify MODEL --data DIR     how wrong it is at most, from labelled images
dlgen train --objective pac-bayes --anchors MODEL --data DIR
                                   a network around it, trained for its bound"""
_FOLDER = "dlgen-demo"
#: Examples of the first network; the others are left for the bound.
_FIRST = 600
_EPOCHS = 40
#: Priors that were tried before these settings were chosen, 4 numbers of first examples times 2
#: sets of trained layers: the certificate pays for the choice.
_TRIED = 8


def demo(options: DemoCommand) -> None:
    """Train, bound, and end with a certificate, on scikit-learn's digits; no download.

    A network is trained as usual and what theory says of it is vacuous. Then a random network
    around it is trained on examples that it has not seen, by minimizing the bound itself.
    """
    from dlgen_cli.render import render_text

    console.chosen_format(options)
    folder = _vacant(options.out)
    usual, certified = folder / "usual", folder / "certified"
    say = _Voice(quiet=options.quiet)
    say.step(
        f"1. Train. A network of three 64 × 64 matrices learns {_FIRST} handwritten digits, which "
        "scikit-learn brings along."
    )
    config = _train(options, usual)
    say.result(
        f"It is wrong on {_percent(config['train_error'])} of them, and on "
        f"{_percent(config['test_error'])} of {config['counts']['test']} digits that were kept "
        "aside."
    )
    say.step("2. Ask theory. What do these weights prove about new digits?")
    audited = _audit(options, usual)
    say.result(_told(audited))
    say.step(
        "3. Train for the certificate. The digits that the first network has not seen train a "
        "random network around it, and what is minimized is the bound itself."
    )
    run = _train_for_the_bound(options, usual, certified)
    say.result(
        f"Over {run.config['examples']} digits it has moved by {run.last.kl_nats:.1f} nats: so "
        "little that a bound which pays for it stays small."
    )
    say.step("4. Certify. Every choice is paid for, and every number is rounded up.")
    report = _certify(options, certified)
    results = {
        "directory": str(folder),
        **{name: config[name] for name in ("train_error", "test_error", "epochs")},
        "audit": _headline(audited),
    }
    report = replace(report, results=results | dict(report.results or {}))
    for name in ("report.html", "report.json"):
        console.write_whole(folder / name, render_text(report, name.partition(".")[2]))
    say.step("")
    console.emit(report, options)
    say.end(report, folder)


class _Voice:
    """Tells the story on stderr, beside the report."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def step(self, text: str) -> None:
        """What is done now."""
        if not self._quiet:
            console.stderr().print(text, markup=False, style="bold", soft_wrap=False)

    def result(self, text: str) -> None:
        """What came out."""
        if not self._quiet:
            console.stderr().print(f"{text}\n", markup=False, soft_wrap=False)

    def end(self, report: Report, folder: Path) -> None:
        """The story in a sentence, where the files are, and what to do next."""
        bound = next(one for one in report.bounds if one.theorem == POSTERIOR.name)
        said = "says nothing: another seed may do better"
        if bound.value is not None and bound.value < 1:
            said = (
                f"proves that the random network is wrong on at most {_percent(bound.value)} of "
                "new digits; none of those that were kept aside were looked at for it"
            )
        self.step("")
        self.result(
            f"From {bound.terms['examples']} training examples alone, the bound that was trained "
            f"for {said}."
        )
        self.result(
            f"Open {folder / 'report.html'}; check it with dlgen verify {folder / 'report.json'}. "
            f"The networks are {folder / 'usual'} and {folder / 'certified'}."
        )
        self.step("With a checkpoint of your own")
        self.result(_NEXT)


def _vacant(given: Path | None) -> Path:
    """The folder to write: the one that was given, or the first that is not there."""
    from dlgen_cli.training.run import require_vacant

    if given is not None:
        require_vacant(given)
        return given
    folder, number = Path(_FOLDER), 1
    while folder.exists():
        number += 1
        folder = Path(f"{_FOLDER}-{number}")
    return folder


def _train(options: DemoCommand, directory: Path) -> Mapping[str, Any]:
    from dlgen_cli import training

    recipe = training.make_recipe({"source": "digits", "seed": options.seed, "m": _FIRST})
    with show_progress(options) as shown:
        run = training.run(recipe, directory, progress=shown.epochs, work=shown.work)
    return run.config


def _audit(options: DemoCommand, directory: Path) -> Report:
    from dlgen_cli.audit.audit import audit
    from dlgen_cli.evidence.options import AuditOptions

    with showing_work(options) as progress:
        return audit(
            AuditOptions(checkpoint=directory),
            command="audit",
            families=("compression",),
            progress=progress,
        )


def _train_for_the_bound(options: DemoCommand, anchor: Path, directory: Path) -> PosteriorRun:
    from dlgen_cli.training.posterior import train_posterior

    given = {"source": "digits", "seed": options.seed, "epochs": _EPOCHS}
    with showing_work(options) as progress:
        return train_posterior(anchor, directory, given, {}, progress=progress)


def _certify(options: DemoCommand, directory: Path) -> Report:
    from dlgen_cli.audit.certify import certify
    from dlgen_cli.evidence.options import AuditOptions, DataOptions

    with showing_work(options) as progress:
        return certify(
            AuditOptions(checkpoint=directory),
            DataOptions(data="digits", seed=options.seed, tried=_TRIED),
            command="demo",
            layer_progress=progress,
        )


def _told(report: Report) -> str:
    from dlgen_cli.render import numbers

    headline = report.headline
    if headline is None:
        return "Nothing: no bound applies."
    if headline.value is None or headline.value >= 1:
        size = numbers.upper(headline.value, headline.log10_value)
        return (
            f"Nothing. The bound on how much worse the network is there is {size}, and an error "
            "rate is never above 1: vacuous, as bounds of weights trained as usual mostly are."
        )
    return f"On new digits the network is worse by at most {_percent(headline.value)}."


def _headline(report: Report) -> dict[str, Any] | None:
    headline = report.headline
    if headline is None:
        return None
    names = ("theorem", "value", "status")
    return {name: getattr(headline, name) for name in names}


def _percent(share: float) -> str:
    """A share of 1, rounded up to a tenth of a percent."""
    return f"{math.ceil(1000 * share) / 10:.3g} %"
