"""``dlgen explain``: what a theorem says, and what it says with the numbers of a report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from dlgen_cli import __version__
from dlgen_cli.bounds import explanation
from dlgen_cli.bounds.arithmetic import log10, to_float
from dlgen_cli.bounds.recorded_fields import Fields, read_report
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.cli import console
from dlgen_cli.cli.help import INPUT
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.values import Choices
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Report
from dlgen_cli.render import Format

_WRITTEN = (Format.TABLE, Format.MARKDOWN, Format.JSON)


@dataclass(kw_only=True)
class ExplainCommand(ReportOptions):
    """Options of ``dlgen explain``."""

    panel: ClassVar[str] = INPUT

    theorem: Annotated[
        str | None,
        Choices(THEOREMS, is_open=True),
        typer.Argument(
            metavar="[THEOREM]",
            help="A theorem, a status or a word; without one, the list of them.",
            show_default=False,
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="R.json", help="A saved report: its numbers are put in."),
    ] = None


def explain(options: ExplainCommand) -> None:
    """Explain a theorem: statement, symbols, assumptions, proof, source and its slips.

    With a saved report, the formula with its numbers put in, line by line,
    down to the value on the page.
    """
    format_ = console.chosen_format(options)
    if format_ not in _WRITTEN:
        raise UsageError(
            f"explain writes no {format_}.", remedy=f"Take one of {', '.join(_WRITTEN)}."
        )
    bounds: list[Fields] = []
    if options.report is not None:
        bounds = explanation.bounds_of(read_report(options.report), options.theorem)
    parts = [explanation.worked(bound) for bound in bounds]
    if options.theorem is not None:
        parts.insert(0, explanation.explain(options.theorem))
    elif not parts:
        parts.append(explanation.overview())
    text = "\n".join(parts)
    if format_ is Format.JSON:
        report = Report(
            dlgen_version=__version__,
            command="explain",
            settings={
                "theorem": options.theorem,
                "report": str(options.report) if options.report else None,
            },
            results={
                "text": text,
                "theorems": {name: one.title for name, one in THEOREMS.items()},
                "bounds": [_worked(bound) for bound in bounds],
            },
        )
        console.emit(report, options)
    elif options.output is not None:
        console.write_whole(options.output, text)
    elif sys.stdout.isatty() and format_ is Format.TABLE:
        from rich.console import Console  # late: every command imports this module
        from rich.markdown import Markdown

        Console(highlight=False).print(Markdown(text))
    else:
        sys.stdout.write(text)


def _worked(bound: Fields) -> dict[str, Any]:
    return {
        "theorem": bound.text("theorem"),
        "status": bound.text("status"),
        "value": bound.get("value"),
        "steps": [
            {
                "symbol": step.symbol,
                "formula": step.formula,
                "numbers": step.numbers,
                "value": to_float(step.value),
                "log10_value": log10(step.value),
            }
            for step in explanation.derive(bound)
        ],
    }
