"""Fitting a table to a page: which columns stay, how wide they are, where cells fold."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from dlgen_cli.render.model import Column, Table
from dlgen_cli.render.text import fold_name, fold_words, kept_sign, spaced, visible

GAP = 2
#: A foldable column is not made narrower than this as long as another column can be left out.
_COMFORTABLE = {"name": 24, "prose": 20}
_NARROWEST = 10
#: Longer words in prose are no numbers and may be cut.
_LONGEST_UNCUT = 24
_HEADER_LINES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A table ready to be written line by line.

    Attributes:
        columns: those that stay.
        widths: cells for each.
        header: lines of the header; each holds one text for each column.
        rows: for each row its lines, of the same form.
        left_out: headers of the columns that do not fit.
    """

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    header: list[list[str]]
    rows: list[list[list[str]]]
    left_out: tuple[str, ...]

    @property
    def width(self) -> int:
        """Cells from the first column's left to the last one's right."""
        return sum(self.widths) + GAP * (len(self.widths) - 1)


def fit(table: Table, width: int) -> Layout:
    """Fit a table to a page without ever cutting a number.

    Columns are left out by priority; then names and prose are folded. What still does not fit
    is wider than the page.

    Args:
        table: the table.
        width: cells of the page.

    Returns:
        The layout.
    """
    cells = [[visible(cell) for cell in row] for row in table.rows]
    headers = [kept_sign(column.header) for column in table.columns]
    natural = [_natural_width(headers[i], [row[i] for row in cells]) for i in _range(table)]
    kept = list(_range(table))
    while _total([_comfortable(table.columns[i], natural[i]) for i in kept]) > width:
        droppable = [i for i in kept if table.columns[i].priority > 0]
        if not droppable:
            break
        kept.remove(max(droppable, key=lambda i: table.columns[i].priority))
    columns = tuple(table.columns[i] for i in kept)
    narrowest = [
        _narrowest(column, [row[i] for row in cells])
        for column, i in zip(columns, kept, strict=True)
    ]
    widths = _shrink(columns, [natural[i] for i in kept], narrowest, width)
    return Layout(
        columns=columns,
        widths=tuple(widths),
        header=_lines(
            [fold_words(headers[i], w) for i, w in zip(kept, widths, strict=True)],
            bottom=True,
        ),
        rows=[
            _lines([_fold(columns[n], row[i], widths[n]) for n, i in enumerate(kept)], bottom=False)
            for row in cells
        ],
        left_out=tuple(
            table.columns[i].header
            for i in _range(table)
            if i not in kept and table.columns[i].header and table.columns[i].kind != "phrase"
        ),
    )


def _range(table: Table) -> range:
    return range(len(table.columns))


def _total(widths: list[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _natural_width(header: str, cells: list[str]) -> int:
    words = [cell_len(word) for word in header.split(" ")]
    width = max([*words, *(cell_len(cell) for cell in cells), 1])
    while len(fold_words(header, width)) > _HEADER_LINES:
        width += 1
    return width


def _comfortable(column: Column, natural: int) -> int:
    return min(natural, _COMFORTABLE.get(column.kind, natural))


def _narrowest(column: Column, cells: list[str]) -> int:
    """Names may be cut anywhere; prose holds numbers, which may not."""
    if column.kind != "prose":
        return _NARROWEST
    longest = max((cell_len(word) for cell in cells for word in cell.split(" ")), default=0)
    return max(_NARROWEST, min(longest, _LONGEST_UNCUT))


def _shrink(
    columns: tuple[Column, ...], natural: list[int], narrowest: list[int], width: int
) -> list[int]:
    widths = list(natural)
    foldable = [i for i, column in enumerate(columns) if column.kind in _COMFORTABLE]
    while _total(widths) > width:
        candidates = [i for i in foldable if widths[i] > narrowest[i]]
        if not candidates:
            break
        # Prose gives way before names, down to where both are comfortable.
        widest = max(
            candidates,
            key=lambda i: (widths[i] > _comfortable(columns[i], natural[i]), widths[i]),
        )
        widths[widest] -= 1
    return widths


def _fold(column: Column, cell: str, width: int) -> list[str]:
    if column.kind == "name":
        return fold_name(cell, width)
    if column.kind == "prose":
        return fold_words(cell, width)
    return [spaced(cell)]


def _lines(cells: list[list[str]], *, bottom: bool) -> list[list[str]]:
    height = max(len(lines) for lines in cells)
    blank = [[""] * (height - len(lines)) for lines in cells]
    filled = [b + c if bottom else c + b for b, c in zip(blank, cells, strict=True)]
    return [list(line) for line in zip(*filled, strict=True)]
