"""The report as Markdown with pipe tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dlgen_cli.render.model import Block, Claim, Document, Fact, Facts, Ledger, Paragraph, Table
from dlgen_cli.render.text import spaced, visible

# An underscore inside a word and a bracket that opens no link are plain text.
_SPECIAL = re.compile(r"([\\`*<>|~]|(?<!\w)_|_(?!\w)|\](?=[(\[:]))")


def markdown_text(document: Document) -> str:
    """Write a document as Markdown.

    Args:
        document: what to write.

    Returns:
        The text, ended by a line feed. Every column of every table is there.
    """
    lines = [f"# {_escape(f'{document.title} {document.subject}'.rstrip())}"]
    for section in document.written:
        lines += ["", f"## {_escape(section.title)}"]
        for block in section.written:
            lines += ["", *_block(block)]
    lines += ["", f"*{_escape(document.version)}*"]
    return "\n".join(lines) + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Claim():
            yield f"**{_escape(block.line)}**"
        case Table():
            yield from _table(block)
        case Facts():
            yield from _facts(block.facts)
        case Ledger():
            for line in block.lines:
                evidence = f" *{_escape(line.evidence)}*" if line.evidence else ""
                scope = f" ({_escape(line.scope)})" if line.scope else ""
                yield f"- **{line.status}** {_escape(line.statement)}{evidence}{scope}"
        case Paragraph():
            yield _escape(block.text)


def _facts(facts: tuple[Fact, ...]) -> list[str]:
    return [f"- **{_escape(fact.label)}**: {_escape(fact.value)}" for fact in facts]


def _table(table: Table) -> Iterator[str]:
    yield _row([_escape(column.header) for column in table.columns])
    yield _row(["---:" if column.justify == "right" else "---" for column in table.columns])
    for index, row in enumerate(table.rows):
        cells = [_escape(cell) for cell in row]
        if index in table.marked:
            cells = [f"**{cell}**" if cell else "" for cell in cells]
        yield _row(cells)
    if table.note:
        yield ""
        yield _escape(table.note)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", spaced(visible(text)))
