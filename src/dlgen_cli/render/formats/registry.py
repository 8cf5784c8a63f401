"""The one table of formats that a report is written in."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Self

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.formats.csv_text import csv_text
from dlgen_cli.render.formats.html import html_text
from dlgen_cli.render.formats.json_text import json_text
from dlgen_cli.render.formats.markdown import markdown_text
from dlgen_cli.render.formats.table import table_text


class Format(StrEnum):
    """How a report is written; a row for each format.

    Attributes:
        suffix: of the files that are written so where no format is named.
        is_page: it is meant for a reader, and leaves out what a page has no room for.
        write: the report, the cells to a line, and the verbosity, as text.
    """

    TABLE = "table", ".txt", True, table_text
    JSON = "json", ".json", False, lambda report, _width, _verbosity: json_text(report)
    MARKDOWN = (
        "markdown",
        ".md",
        True,
        lambda report, _width, verbosity: markdown_text(build_document(report, verbosity)),
    )
    HTML = (
        "html",
        ".html",
        True,
        lambda report, _width, verbosity: html_text(build_document(report, verbosity)),
    )
    CSV = "csv", ".csv", False, lambda report, _width, _verbosity: csv_text(report)

    suffix: str
    is_page: bool
    write: Callable[[Report, int, int], str]

    def __new__(
        cls,
        name: str,
        suffix: str,
        is_page: bool,  # noqa: FBT001 - a column of the table above
        write: Callable[[Report, int, int], str],
    ) -> Self:
        """A row as a member: its name is the value."""
        row = str.__new__(cls, name)
        row._value_ = name
        row.suffix, row.is_page, row.write = suffix, is_page, write
        return row
