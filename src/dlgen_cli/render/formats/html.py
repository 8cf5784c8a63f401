"""The report as one self-contained page: embedded style, no script, nothing fetched."""

from __future__ import annotations

import html
from collections.abc import Iterator

from dlgen_cli.errors import DependencyError
from dlgen_cli.render.model import (
    STATUS_TONES,
    Block,
    Claim,
    Column,
    Document,
    Fact,
    Facts,
    Ledger,
    Paragraph,
    Picture,
    Section,
    Table,
)
from dlgen_cli.render.text import visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --page: #fff; --quiet: #5c5c5c;
  --line: #d8d8d8; --mark: #eef4fb; --good: #17692f; --caution: #8a5300; --bad: #a8201a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --page: #16181a; --quiet: #a0a0a0;
  --line: #3a3d40; --mark: #1f2a36; --good: #6cc787; --caution: #e0a84e; --bad: #f08a83; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 72rem; color: var(--ink);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0 0 .5rem; }
dt, .muted, footer { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; font-weight: 600; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.status { white-space: nowrap; }
.name { overflow-wrap: anywhere; min-width: 9rem; }
.prose { min-width: 14rem; }
.marked td { background: var(--mark); font-weight: 600; }
.good { color: var(--good); } .caution { color: var(--caution); } .bad { color: var(--bad); }
.ledger { list-style: none; margin: 1rem 0 0; padding: 0; }
.ledger li { margin: 0 0 .4rem; }
.ledger b { display: inline-block; min-width: 5.5rem; }
p { margin: .5rem 0; }
figure { margin: .5rem 0; background: #fff; color: #1a1a1a; }
figure svg { width: 100%; max-width: 60rem; height: auto; }
figcaption { font-size: .85rem; padding: 0 0 .5rem .5rem; }
footer { margin-top: 2.5rem; font-size: .85rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  figure, tr, li { break-inside: avoid; } table { font-size: 8pt; }
  th, td { padding-right: .4rem; }
  h2 { break-after: avoid; } thead { display: table-header-group; } }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; } dd { margin: 0 0 .5rem; } }
"""


def html_text(document: Document) -> str:
    """Write a document as an HTML page that can be mailed, printed and read on a phone.

    Args:
        document: what to write.

    Returns:
        The page, ended by a line feed. Every column of every table is there.
    """
    title = _escape(document.title)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{title}</h1>",
    ]
    for section in document.sections:
        lines += _section(section)
    lines += [f"<footer>{_escape(document.version)}</footer>", "</body>", "</html>"]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield "<section>"
    yield f"<h2>{_escape(section.title)}</h2>"
    for block in section.blocks:
        yield from _block(block)
    yield "</section>"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Claim():
            yield f'<p class="{block.tone}"><b>{_escape(block.line)}</b></p>'
        case Table():
            yield from _table(block)
        case Facts():
            yield from _facts(block.facts)
        case Ledger():
            yield from _ledger(block)
        case Paragraph():
            yield f'<p class="{block.tone}">{_escape(block.text)}</p>'
        case Picture():
            yield from _picture(block)


def _drawn(picture: Picture) -> str:
    return picture.draw()


def _picture(picture: Picture) -> Iterator[str]:
    try:
        drawing = _drawn(picture)
    except DependencyError as error:
        yield f'<p class="muted">{_escape(str(error))}</p>'
        return
    caption = _escape(picture.caption)
    yield f'<figure role="img" aria-label="{caption}">{drawing}'
    yield f"<figcaption>{caption}</figcaption></figure>"


def _facts(facts: tuple[Fact, ...]) -> Iterator[str]:
    if not facts:
        return
    yield "<dl>"
    for fact in facts:
        yield f"<dt>{_escape(fact.label)}</dt><dd>{_escape(fact.value)}</dd>"
    yield "</dl>"


def _ledger(ledger: Ledger) -> Iterator[str]:
    yield '<ul class="ledger">'
    for line in ledger.lines:
        evidence = f' <span class="muted">{_escape(line.evidence)}</span>' if line.evidence else ""
        scope = f' <span class="muted">({_escape(line.scope)})</span>' if line.scope else ""
        status = f'<b class="{STATUS_TONES[line.status]}">{line.status}</b>'
        yield f"<li>{status} {_escape(line.statement)}{evidence}{scope}</li>"
    yield "</ul>"


def _table(table: Table) -> Iterator[str]:
    yield '<div class="wide"><table>'
    header = "".join(
        f'<th scope="col" class="{column.kind}">{_escape(column.header)}</th>'
        for column in table.columns
    )
    yield f"<thead><tr>{header}</tr></thead>"
    yield "<tbody>"
    for index, row in enumerate(table.rows):
        cells = "".join(
            _cell(column, cell) for column, cell in zip(table.columns, row, strict=True)
        )
        yield f'<tr class="marked">{cells}</tr>' if index in table.marked else f"<tr>{cells}</tr>"
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="muted">{_escape(table.note)}</p>'


def _cell(column: Column, cell: str) -> str:
    tone = STATUS_TONES.get(cell, "plain") if column.kind == "status" else "plain"
    classes = column.kind if tone == "plain" else f"{column.kind} {tone}"
    return f'<td class="{classes}">{_escape(cell)}</td>'


def _escape(text: str) -> str:
    return html.escape(visible(text))
