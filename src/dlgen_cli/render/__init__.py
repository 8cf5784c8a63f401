"""Reports written for readers and for scripts."""

from __future__ import annotations

from dlgen_cli.errors import OutputError
from dlgen_cli.records import Report
from dlgen_cli.render.formats.registry import Format
from dlgen_cli.render.formats.table import print_table

__all__ = ["Format", "print_table", "render_text"]

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
        format: a `Format` or its name. ``json`` follows the contract of the envelope.
        width: cells to a line of ``table``, 80 by default; the others have no width.
        verbosity: 1 or more shows every row and the whole ledger. ``json`` and ``csv`` always
            hold everything.

    Returns:
        The text, ended by a line feed.

    Raises:
        OutputError: the format is unknown.
    """
    found = next((one for one in Format if one == format), None)
    if found is None:
        known = ", ".join(Format)
        raise OutputError(f"There is no format {format!r}.", remedy=f"Take one of: {known}.")
    return found.write(report, width or _PIPE_WIDTH, verbosity)
