"""What is printed and where: reports on stdout, everything else on stderr."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from dlgen_cli import files
from dlgen_cli.cli.options import CheckpointOptions, GateOptions, ReportOptions
from dlgen_cli.errors import DlgenError, OutputError, UsageError
from dlgen_cli.processes import process_rank
from dlgen_cli.records import Report, ReportError
from dlgen_cli.render import Format, print_table, render_text
from dlgen_cli.render.ascii_text import JSON_ESCAPES, READABLE
from dlgen_cli.render.text import visible

if TYPE_CHECKING:
    pass

_SUFFIXES = {one.suffix: one for one in Format}
_FILE_WIDTH = 100  # columns of a table that is written to a file


def stderr() -> Console:
    """The console for progress, warnings and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_what_the_terminal_can() -> None:
    """Let output in an encoding of few characters fall back to ASCII instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=READABLE)


def _write(text: str, format_: Format) -> None:
    """Write a report to stdout; what it holds survives an encoding of few characters."""
    encoding = sys.stdout.encoding or "utf-8"
    errors = {Format.JSON: JSON_ESCAPES, Format.HTML: "xmlcharrefreplace"}.get(format_, READABLE)
    sys.stdout.write(text.encode(encoding, errors).decode(encoding))
    sys.stdout.flush()


def chosen_format(options: ReportOptions) -> Format:
    """The format in force.

    Raises:
        UsageError: ``--json`` and another ``--format``, a suffix that names another format than
            the one that is asked for, or none.
    """
    if options.json and options.format not in {None, Format.JSON}:
        raise UsageError(
            f"--json and --format {options.format} were both given.", remedy="Give one of them."
        )
    asked = Format.JSON if options.json else options.format
    if options.output is None:
        return asked or Format.TABLE
    suffix = options.output.suffix.lower()
    named = _SUFFIXES.get(suffix)
    if asked is not None and named not in {None, asked}:
        raise UsageError(
            f"--output {options.output} names the format {named}, and {asked} was asked for.",
            remedy="Leave one of them out.",
        )
    if asked is not None:
        return asked
    if named is None:
        raise UsageError(
            f"The suffix of {options.output} names no format; {', '.join(_SUFFIXES)} do.",
            remedy="Give --format.",
        )
    return named


def check_outputs(options: CheckpointOptions, *others: Path | None) -> None:
    """Refuse outputs that cannot be written, or that would overwrite what is read.

    Raises:
        UsageError: two outputs, or an output and the checkpoint, are one file.
        OutputError: a folder is missing.
    """
    chosen_format(options)
    taken = {options.checkpoint.resolve()}
    for path in (options.output, *others):
        if path is None:
            continue
        if path.resolve() in taken:
            raise UsageError(
                f"{path} is the checkpoint or another output.", remedy="Name another file."
            )
        if not path.parent.is_dir():
            raise OutputError(
                f"{path} cannot be written: there is no folder {path.parent}.",
                remedy="Make it, or name another.",
            )
        taken.add(path.resolve())


def check_gate(limit: float | None) -> None:
    """Refuse a gate that is no number.

    Raises:
        UsageError: it is NaN.
    """
    if limit is not None and math.isnan(limit):
        raise UsageError("--fail-above is nan; a number was expected.", remedy="Try 0.5.")


def emit(report: Report, options: ReportOptions) -> None:
    """Write a report to stdout, or to ``--output`` in one step; the first process alone does.

    Raises:
        OutputError: the file cannot be written.
    """
    if process_rank() > 0:
        return
    format_ = chosen_format(options)
    if options.output is not None:
        text = render_text(report, format_, width=_FILE_WIDTH, verbosity=options.verbose)
        write_whole(options.output, text)
        if not options.quiet:
            stderr().print(
                f"The report was written to {visible(str(options.output))}.", markup=False
            )
    elif format_ is Format.TABLE:
        print_table(report, Console(highlight=False), verbosity=options.verbose)
    else:
        _write(render_text(report, format_, verbosity=options.verbose), format_)


def warn(text: str) -> None:
    """Print a warning on stderr; of several processes the first one does."""
    if process_rank() == 0:
        stderr().print(f"warning: {text}", markup=False)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all; of several processes the first one does.

    Raises:
        OutputError: the folder is missing or cannot be written to.
    """
    if process_rank() == 0:
        files.write_whole(path, content.encode() if isinstance(content, str) else content)


def fail(error: DlgenError, *, as_json: bool, command: str) -> None:
    """Say in one line what was wrong, and as an envelope where JSON was asked for.

    Of several processes the first one speaks.
    """
    if process_rank() > 0:
        return
    if as_json:
        from dlgen_cli import __version__

        report = Report(
            dlgen_version=__version__,
            command=command,
            status="error",
            errors=[ReportError(code=error.code, message=error.message, remedy=error.remedy)],
        )
        _write(render_text(report, Format.JSON), Format.JSON)
    stderr().print("error:", visible(str(error)), style="red", markup=False)


def gate(report: Report, options: GateOptions) -> None:
    """Exit with 1 where ``--fail-above`` was given, unless a headline bound is at most the limit.

    One that rests on an assumption passes only with ``--accept-assumed``.

    Raises:
        typer.Exit: it is not.
    """
    limit, headline = options.fail_above, report.headline
    if limit is None:
        return
    if headline is None:
        found = "no bound stands for this report"
    elif headline.value is None or headline.value > limit:
        found = f"{headline.theorem} is above it"
    elif headline.status == "conditional" and not options.accept_assumed:
        found = f"{headline.theorem} rests on an assumption; --accept-assumed lets it pass"
    else:
        return
    if process_rank() == 0:
        stderr().print(f"--fail-above {limit:g}: {found}.", markup=False)
    raise typer.Exit(1)
