"""``dlgen verify``: recompute a saved report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.errors import UsageError


@dataclass(kw_only=True)
class VerifyCommand(ReportOptions):
    """Options of ``dlgen verify``."""

    report: Annotated[
        Path, typer.Argument(metavar="REPORT", help="A report that was saved with --json.")
    ]


def verify(options: VerifyCommand) -> None:
    """Recompute every bound of a saved report from the numbers in it, offline.

    Exit code 1 where a field is not what the others say.
    """
    from dlgen_cli import __version__, verification
    from dlgen_cli.records import Report

    console.chosen_format(options)  # refuse before any work
    if options.output is not None and options.output.resolve() == options.report.resolve():
        raise UsageError(f"{options.output} is the report.", remedy="Name another file.")
    found = verification.verify(verification.read_report(options.report))
    mismatches = [asdict(one) for one in found.mismatches]
    console.emit(
        Report(
            dlgen_version=__version__,
            command="verify",
            settings={"report": str(options.report)},
            results={
                "verdict": "mismatch" if mismatches else "match",
                "bounds": found.bounds,
                "checked": found.checked,
                "mismatches": mismatches,
            },
        ),
        options,
    )
    if mismatches:
        raise typer.Exit(1)
