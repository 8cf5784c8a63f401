"""The report as one self-contained page: embedded style, nothing fetched, read without a script."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from dlgen_cli.bounds.derivations.derivation import Step, shown_number
from dlgen_cli.errors import DependencyError
from dlgen_cli.render.formats.mathml import math
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
    Working,
)
from dlgen_cli.render.text import NO_BREAK, kept_sign, spaced, visible

#: A power of ten, whose exponent is raised; it may hold another one.
_POWER = re.compile(r"(?<=10)\^(?:\(([^()]*)\)|(-?\d+))")
#: Where a long name may be broken.
_JOINT = re.compile(r"(?<=[./_:-])(?=\w)")
_LONGEST_UNBROKEN = 40


def html_text(document: Document) -> str:
    """Write a document as an HTML page that can be mailed, printed and read on a phone.

    Args:
        document: what to write.

    Returns:
        The page, ended by a line feed. Every column of every table is there; details are folded.
    """
    title = _text(document.title)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(f'{document.title} {document.subject}'.rstrip())}</title>",
        f"<style>\n{_part('page.css')}</style>",
        "</head>",
        "<body>",
        f"<h1>{title}</h1>",
    ]
    if document.subject:
        lines.append(f'<p class="subject">{_name(document.subject)}</p>')
    for section in document.sections:
        lines += _section(section)
    lines += [
        f"<footer>{_text(document.version)}</footer>",
        f"<script>\n{_part('page.js')}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


@cache
def _part(name: str) -> str:
    return files("dlgen_cli.render.formats").joinpath(name).read_text(encoding="utf-8")


def _section(section: Section) -> Iterator[str]:
    title = f"<h2>{_text(section.title)}</h2>"
    match section.role:
        case "answer":
            tone = next((one.tone for one in section.blocks if isinstance(one, Claim)), "plain")
            yield f'<section class="card {tone}">{title}'
        case "main":
            yield f"<section>{title}"
        case "detail":
            yield f'<details class="section"><summary>{title}</summary>'
    for block in section.blocks:
        yield from _block(block)
    yield "</details>" if section.role == "detail" else "</section>"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Claim():
            value = f"≤ {_text(block.value)} " if block.value else ""
            yield f'<p class="claim">{value}<span>{_text(block.status)}</span></p>'
        case Table():
            yield from _table(block)
        case Facts():
            yield from _facts(block.facts)
        case Ledger():
            yield from _ledger(block)
        case Paragraph():
            yield f'<p class="{block.tone}">{_text(block.text)}</p>'
        case Picture():
            yield from _picture(block)
        case Working():
            yield from _working(block)


def _drawn(picture: Picture) -> str:
    return picture.draw()


def _picture(picture: Picture) -> Iterator[str]:
    try:
        drawing = _drawn(picture)
    except DependencyError as error:
        yield f'<p class="muted">{_text(str(error))}</p>'
        return
    caption = _text(picture.caption)
    label = html.escape(visible(picture.caption))
    yield f'<figure role="img" aria-label="{label}"><div class="wide">{drawing}</div>'
    yield f"<figcaption>{caption}</figcaption></figure>"


def _working(working: Working) -> Iterator[str]:
    steps, note = working.work()
    yield f'<details class="working"><summary>{_text(working.title)}</summary>'
    for step in steps:
        yield f'<div class="step">{"".join(_step(step))}</div>'
    yield f'<p class="muted">{_text(note)}</p></details>'


def _step(step: Step) -> Iterator[str]:
    """One line: what it computes, how, with the numbers put in, and what comes out."""
    shown = shown_number(step.value)
    if not step.formula:
        yield f'{math(step.symbol, shown)}<span class="muted">{_text(step.numbers)}</span>'
        return
    yield math(step.symbol, step.formula)
    if step.numbers.strip("()") not in (step.formula, shown.strip("()")):
        yield math("", step.numbers)
    yield math("", shown)


def _facts(facts: tuple[Fact, ...]) -> Iterator[str]:
    if not facts:
        return
    yield "<dl>"
    for fact in facts:
        yield f"<dt>{_text(fact.label)}</dt><dd>{_text(spaced(fact.value))}</dd>"
    yield "</dl>"


def _ledger(ledger: Ledger) -> Iterator[str]:
    yield '<ul class="ledger">'
    for line in ledger.lines:
        evidence = f' <span class="muted">{_text(line.evidence)}</span>' if line.evidence else ""
        scope = f' <span class="muted">({_text(line.scope)})</span>' if line.scope else ""
        status = f'<b class="{STATUS_TONES[line.status]}">{line.status}</b>'
        yield f"<li>{status} {_text(line.statement)}{evidence}{scope}</li>"
    yield "</ul>"


def _table(table: Table) -> Iterator[str]:
    yield '<div class="wide"><table>'
    header = "".join(
        f'<th scope="col" class="{column.kind}">{_text(kept_sign(column.header))}</th>'
        for column in table.columns
    )
    yield f"<thead><tr>{header}</tr></thead>"
    yield "<tbody>"
    for index, row in enumerate(table.rows):
        cells = "".join(
            _cell(column, cell, column.bars[index] if column.bars else None)
            for column, cell in zip(table.columns, row, strict=True)
        )
        yield f'<tr class="marked">{cells}</tr>' if index in table.marked else f"<tr>{cells}</tr>"
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="muted">{_text(table.note)}</p>'


def _cell(column: Column, cell: str, bar: float | None) -> str:
    tone = STATUS_TONES.get(cell, "plain") if column.kind == "status" else "plain"
    classes = column.kind if tone == "plain" else f"{column.kind} {tone}"
    text = _name(cell) if column.kind == "name" else _text(cell)
    if bar is None:
        return f'<td class="{classes}">{text}</td>'
    return f'<td class="{classes} bar" style="--part: {100 * bar:.1f}%">{text}</td>'


def _name(text: str) -> str:
    """A name or a path; a long one may be broken after its dots and slashes, on paper any."""
    jointed = _JOINT.sub("<wbr>", html.escape(visible(text)))
    return f'<span class="whole">{jointed}</span>' if len(text) <= _LONGEST_UNBROKEN else jointed


def _text(text: str) -> str:
    kept = visible(text).replace(" × ", f"{NO_BREAK}×{NO_BREAK}")
    return _POWER.sub(_raised, html.escape(kept))


def _raised(power: re.Match[str]) -> str:
    exponent = power[1] or power[2]
    return f"<sup>{_POWER.sub(_raised, exponent).replace('-', '−')}</sup>"
