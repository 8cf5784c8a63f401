"""Reports written for readers and for scripts."""

from __future__ import annotations

from dlgen_cli.errors import OutputError
from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.formats.csv_text import csv_text
from dlgen_cli.render.formats.html import html_text
from dlgen_cli.render.formats.json_text import json_text
from dlgen_cli.render.formats.markdown import markdown_text
from dlgen_cli.render.formats.table import print_table, table_text

__all__ = ["FORMATS", "print_table", "render_text"]

#: What `render_text` can write.
FORMATS = ("table", "json", "markdown", "csv", "html")

_PIPE_WIDTH = 80


def render_text(
    report: Report,
    format: str,  # noqa: A002 - the option's own name
    *,
    width: int | None = None,
    verbosity: int = 0,
) -> str:
    """Write a report as text.

    Args:
        report: what a command found, or its failure.
        format: one of `FORMATS`. ``json`` follows the contract of the envelope.
        width: cells to a line of ``table``, 80 by default; the others have no width.
        verbosity: 1 or more shows every row and the whole ledger. ``json`` and ``csv`` always
            hold everything.

    Returns:
        The text, ended by a line feed.

    Raises:
        OutputError: the format is unknown.
    """
    match format:
        case "json":
            return json_text(report)
        case "csv":
            return csv_text(report)
        case "markdown":
            return markdown_text(build_document(report, verbosity))
        case "html":
            return html_text(build_document(report, verbosity))
        case "table":
            return table_text(report, width or _PIPE_WIDTH, verbosity)
        case _:
            known = ", ".join(FORMATS)
            raise OutputError(f"There is no format {format!r}.", remedy=f"Take one of: {known}.")
