"""What a report says, without how it is written: facts, sections, tables, ledgers.

The writers turn this model into a terminal page, Markdown or HTML. Cells are finished text;
words that belong together are joined by `dlgen_cli.render.text.NO_BREAK`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dlgen_cli.bounds.derivations.derivation import Step
from dlgen_cli.records import AssumptionStatus

ColumnKind = Literal["name", "number", "prose", "phrase", "status"]
Tone = Literal["plain", "good", "caution", "bad", "muted"]
#: The answer, what everybody reads, and what a short page leaves out.
Role = Literal["answer", "main", "detail"]

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
        kind: ``name`` and ``prose`` may be folded; ``number`` and ``status`` never are, nor is a
            ``phrase``, which goes without a word where there is no room for it.
        priority: 0 is always shown; the highest is left out first where the page is narrow.
        bars: for each row how long a bar a page draws behind the number, in [0, 1].
    """

    header: str
    kind: ColumnKind = "number"
    priority: int = 0
    bars: tuple[float, ...] = ()

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
        brief: where columns have no room, say only how many.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: frozenset[int] = frozenset()
    note: str = ""
    brief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A few sentences."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The answer in one line.

    Attributes:
        value: the bound, finished text; empty where there is none.
        status: one word, or a few.
        tone: of both.
    """

    value: str
    status: str
    tone: Tone

    @property
    def line(self) -> str:
        """Both, as a text says them."""
        return f"≤ {self.value}  {self.status}" if self.value else self.status


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
        draw: makes it, as SVG whose colours follow the page's scheme; raises DependencyError where
            matplotlib is missing.
    """

    caption: str
    draw: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A bound worked out line by line; only a page shows it, as `dlgen explain` does elsewhere.

    Attributes:
        title: of which bound, and its value.
        work: the lines, and a sentence on what they come to.
    """

    title: str
    work: Callable[[], tuple[Sequence[Step], str]]


Block: TypeAlias = Claim | Table | Paragraph | Facts | Ledger | Picture | Working


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A title and what stands under it.

    Attributes:
        title: a few words.
        blocks: from top to bottom.
        role: what a short page does with it.
    """

    title: str
    blocks: tuple[Block, ...]
    role: Role = "detail"

    @property
    def written(self) -> tuple[Block, ...]:
        """The blocks that a text can show: all but pictures and formulas."""
        return tuple(block for block in self.blocks if not isinstance(block, Picture | Working))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report.

    Attributes:
        title: the command.
        subject: what it speaks of, for example a path; may be empty.
        version: the program that wrote it.
        sections: the answer first.
        left_out: titles of the sections that a short page has no room for.
    """

    title: str
    subject: str
    version: str
    sections: tuple[Section, ...]
    left_out: tuple[str, ...] = ()

    @property
    def written(self) -> tuple[Section, ...]:
        """The sections that a text can show."""
        return tuple(section for section in self.sections if section.written)
