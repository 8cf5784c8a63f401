"""The page for a terminal or a pipe: aligned columns, no frames, no cut numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.formats.layout import GAP, Layout, fit
from dlgen_cli.render.model import (
    STATUS_TONES,
    Block,
    Claim,
    Document,
    Fact,
    Facts,
    Ledger,
    Paragraph,
    Section,
    Table,
    Tone,
)
from dlgen_cli.render.text import fold_words, spaced, visible

_INDENT = 2
_WIDEST_PROSE = 100
_NARROWEST_PROSE = 20
_STYLES: dict[Tone, str] = {
    "plain": "",
    "good": "green",
    "caution": "yellow",
    "bad": "red",
    "muted": "dim",
}


def print_table(report: Report, console: Console, *, verbosity: int = 0) -> None:
    """Print a report as a page of text.

    Args:
        report: what a command found.
        console: where to; its width and its colours are respected.
        verbosity: 1 or more shows every row and the whole ledger.
    """
    document = build_document(report, verbosity, one_screen=True)
    for line in _document(document, console.width, verbosity):
        console.print(line, soft_wrap=True, highlight=False)


def table_text(report: Report, width: int, verbosity: int = 0) -> str:
    """Write the page as plain text without colours.

    Args:
        report: what a command found.
        width: cells to a line.
        verbosity: as in `print_table`.

    Returns:
        The lines, each ended.
    """
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, force_terminal=False)
    print_table(report, console, verbosity=verbosity)
    return stream.getvalue()


def _document(document: Document, width: int, verbosity: int) -> Iterator[Text]:
    yield Text(visible(f"{document.title}  {document.subject}".rstrip()), style="bold")
    for section in document.written:
        yield Text("")
        yield from _section(section, width)
    if document.left_out:
        yield Text("")
        count = len(document.left_out)
        text = (
            f"{count} more {'section' if count == 1 else 'sections'}: -v shows all, "
            "--output page.html draws them."
        )
        yield from _prose(text, width, 0, "dim")
    if verbosity:
        yield Text("")
        yield Text(visible(document.version), style="dim")


def _section(section: Section, width: int) -> Iterator[Text]:
    for line in fold_words(visible(section.title), width):
        yield Text(line, style="bold")
    previous: Block | None = None
    for block in section.written:
        if previous is not None and not isinstance(previous, Paragraph | Claim):
            yield Text("")
        yield from _block(block, width)
        previous = block


def _block(block: Block, width: int) -> Iterator[Text]:
    match block:
        case Claim():
            style = f"bold {_STYLES[block.tone]}".strip()
            yield from _prose(block.line, width, _INDENT, style)
        case Table():
            yield from _table(block, width)
        case Facts():
            yield from _facts(block.facts, width, indent=_INDENT)
        case Ledger():
            yield from _ledger(block, width)
        case Paragraph():
            yield from _prose(block.text, width, _INDENT, _STYLES[block.tone])


def _prose(text: str, width: int, indent: int, style: str) -> Iterator[Text]:
    room = max(_NARROWEST_PROSE, min(width, _WIDEST_PROSE) - indent)
    for line in fold_words(visible(text), room):
        yield Text(" " * indent).append(line, style=style)


def _facts(facts: tuple[Fact, ...], width: int, *, indent: int) -> Iterator[Text]:
    beside = indent + GAP + max(cell_len(fact.label) for fact in facts)
    for fact in facts:
        label = Text(" " * indent).append(visible(fact.label), style="dim")
        lines = list(_prose(fact.value, width, beside, ""))
        first = label.copy()
        first.append(" " * (beside - label.cell_len)).append_text(lines[0][beside:])
        yield first
        yield from lines[1:]


def _ledger(ledger: Ledger, width: int) -> Iterator[Text]:
    beside = _INDENT + GAP + max(len(line.status) for line in ledger.lines)
    for line in ledger.lines:
        head = Text(" " * _INDENT)
        head.append(line.status, style=_STYLES[STATUS_TONES[line.status]])
        head.append(" " * (beside - head.cell_len))
        lines = list(_prose(line.statement, width, beside, ""))
        yield head.append_text(lines[0][beside:])
        yield from lines[1:]
        for detail in (line.evidence, line.scope):
            if detail:
                yield from _prose(detail, width, beside, "dim")


def _table(table: Table, width: int) -> Iterator[Text]:
    layout = fit(table, width - _INDENT)
    for line in layout.header:
        yield _line(layout, line, "bold")
    yield Text(" " * _INDENT).append("─" * layout.width, style="dim")
    for index, row in enumerate(layout.rows):
        for line in row:
            yield _line(layout, line, "bold" if index in table.marked else "")
    if table.note:
        yield from _prose(table.note, width, _INDENT, "dim")
    if layout.left_out:
        names = ", ".join(spaced(header) for header in layout.left_out)
        count = len(layout.left_out)
        told = f"{count} {'column' if count == 1 else 'columns'}" if table.brief else names
        yield from _prose(f"Left out at this width: {told}.", width, _INDENT, "dim")


def _line(layout: Layout, cells: list[str], style: str) -> Text:
    line = Text(" " * _INDENT)
    for number, (column, cell, width) in enumerate(
        zip(layout.columns, cells, layout.widths, strict=True)
    ):
        if number:
            line.append(" " * GAP)
        padding = " " * (width - cell_len(cell))
        tone = STATUS_TONES.get(cell, "plain") if column.kind == "status" else "plain"
        cell_style = f"{style} {_STYLES[tone]}".strip()
        if column.justify == "right":
            line.append(padding).append(cell, style=cell_style)
        else:
            line.append(cell, style=cell_style).append(padding)
    line.rstrip()
    return line
