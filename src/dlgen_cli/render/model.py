"""What a report says, without how it is written: facts, sections, tables, ledgers.

The writers turn this model into a terminal page, Markdown or HTML. Cells are finished text;
words that belong together are joined by `dlgen_cli.render.text.NO_BREAK`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dlgen_cli.records import AssumptionStatus

ColumnKind = Literal["name", "number", "prose", "status"]
Tone = Literal["plain", "good", "caution", "bad", "muted"]

#: How the words of a status column and of a ledger are coloured.
STATUS_TONES: dict[str, Tone] = {
    "holds": "good",
    "conditional": "caution",
    "refuted": "bad",
    "vacuous": "caution",
    "n/a": "muted",
    "verified": "good",
    "declared": "plain",
    "assumed": "caution",
    "violated": "bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A label and what stands beside it."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        header: its title.
        kind: ``name`` and ``prose`` may be folded, ``number`` and ``status`` never are.
        priority: 0 is always shown; the highest is left out first where the page is narrow.
    """

    header: str
    kind: ColumnKind = "number"
    priority: int = 0

    @property
    def justify(self) -> Literal["left", "right"]:
        """Numbers stand to the right, words to the left."""
        return "right" if self.kind == "number" else "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of finished cells.

    Attributes:
        columns: one for each cell of a row.
        rows: the cells.
        marked: indices of rows that stand out.
        note: one line under the table.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A few sentences."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Labels and values under a section."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One assumption.

    Attributes:
        status: what is known of it.
        statement: the assumption.
        evidence: why it has this status; empty in a short ledger.
        scope: the bounds that rest on it, where that is not every bound.
    """

    status: AssumptionStatus
    statement: str
    evidence: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Assumptions, one after another."""

    lines: tuple[LedgerLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing; only a page shows it, and only then is it drawn.

    Attributes:
        caption: what it shows, also for those who do not see it.
        draw: makes it, as SVG; raises DependencyError where matplotlib is missing.
    """

    caption: str
    draw: Callable[[], str]


Block: TypeAlias = Table | Paragraph | Facts | Ledger | Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A title and what stands under it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def written(self) -> tuple[Block, ...]:
        """The blocks that a text can show: all but pictures."""
        return tuple(block for block in self.blocks if not isinstance(block, Picture))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report.

    Attributes:
        title: the command.
        version: the program that wrote it.
        facts: provenance and settings.
        sections: the rest, in order.
    """

    title: str
    version: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]

    @property
    def written(self) -> tuple[Section, ...]:
        """The sections that a text can show."""
        return tuple(section for section in self.sections if section.written)
