"""The results of commands that do not bound: facts, and a table for each list of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from dlgen_cli.render import numbers
from dlgen_cli.render.model import Block, Column, Fact, Facts, Paragraph, Section, Table
from dlgen_cli.render.terms import is_number
from dlgen_cli.render.text import unbroken
from dlgen_cli.render.values import is_list, line

_MOST_ITEMS = 12
_MOST_ROWS = 12
#: A longer cell is prose and may be folded.
_LONGEST_NAME = 24
_MOST_CURVES = 6
#: Names in the JSON, and texts there, in the words of a reader.
_WORDS: Mapping[str, str] = {"linf_norm": "largest parameter"}
_TEXTS: Mapping[str, Mapping[str, str]] = {
    "holdout_origin": {"recorded": "set aside by the run", "test": "the test set of the data"},
}


def results_section(results: Mapping[str, Any] | None, verbosity: int) -> Section | None:
    """Arrange the results for reading; None where there are none.

    Args:
        results: numbers, texts, lists and mappings of them.
        verbosity: 1 or more shows every row of long series.

    Returns:
        The scalars as facts, then a table for each list of mappings and each matrix.
    """
    if not results:
        return None
    facts, tables = [], []
    times = results.get("times")
    for name, value in _flatten(results):
        if _is_rows(value):
            tables.append((name, _rows_table(value)))
        elif _is_matrix(value):
            tables.append((name, _matrix_table(value, times, verbosity)))
        elif name != "times" or not any(_is_matrix(other) for other in results.values()):
            told = _TEXTS[name].get(value, value) if name in _TEXTS else value
            facts.append(Fact(label=_words(name), value=_shown(name, told, verbosity)))
    blocks: list[Block] = [Facts(facts=tuple(facts))] if facts else []
    for name, table in tables:
        blocks += [Paragraph(text=f"{_words(name)}:"), table]
    return Section(title="Results", blocks=tuple(blocks), role="main")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}".removesuffix(" all"), value


def _is_rows(value: object) -> TypeGuard[Sequence[Mapping[str, object]]]:
    return is_list(value) and all(isinstance(row, Mapping) for row in value) and any(value)


def _is_matrix(value: object) -> TypeGuard[Sequence[Sequence[object]]]:
    return is_list(value) and all(is_list(row) for row in value) and any(value)


def _words(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _scalar(name: str, value: object) -> str:
    return line(value, _directed(name))


def _directed(name: str) -> Callable[[float], str]:
    if name.endswith(("_upper", "bound", "value")):
        return numbers.upper
    return numbers.lower if name.endswith("_lower") else numbers.estimate


def _shown(name: str, value: object, verbosity: int) -> str:
    if not is_list(value):
        text = _scalar(name, value)
        return unbroken(text) if is_number(value) else text
    shown = value if verbosity else value[:_MOST_ITEMS]
    parts = [unbroken(_scalar(name, item)) for item in shown]
    if len(shown) < len(value):
        parts.append(unbroken(f"and {numbers.integer(len(value) - len(shown))} more with -v"))
    return ", ".join(parts) or numbers.MISSING


def _rows_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = tuple(tuple(_shown(name, row.get(name), 0) for name in names) for row in rows)
    columns = []
    for index, name in enumerate(names):
        values = [row.get(name) for row in rows]
        if all(value is None or is_number(value) for value in values):
            columns.append(Column(header=_words(name)))
        elif max(len(row[index]) for row in cells) > _LONGEST_NAME:
            columns.append(Column(header=_words(name), kind="prose"))
        else:
            columns.append(Column(header=_words(name), kind="name"))
    return Table(columns=tuple(columns), rows=cells)


def _moment(time: object) -> str:
    return numbers.setting(time) if is_number(time) else str(time)


def _matrix_table(matrix: Sequence[Sequence[object]], times: object, verbosity: int) -> Table:
    moments = times if is_list(times) and len(times) == len(matrix) else ()
    width = max(len(row) for row in matrix)
    if not verbosity:
        width = min(width, _MOST_CURVES)
    count = len(matrix)
    kept = list(range(count))
    if not verbosity and count > _MOST_ROWS:
        kept = sorted({round(i * (count - 1) / (_MOST_ROWS - 1)) for i in range(_MOST_ROWS)})
    rows = []
    for index in kept:
        first = _moment(moments[index]) if moments else numbers.integer(index + 1)
        row = [_scalar("", item) for item in matrix[index][:width]]
        rows.append((first, *row, *[numbers.MISSING] * (width - len(row))))
    hidden = [
        f"{numbers.integer(number)} {what}"
        for number, what in (
            (count - len(kept), "rows"),
            (max(len(row) for row in matrix) - width, "columns"),
        )
        if number
    ]
    return Table(
        columns=(
            Column(header="time" if moments else "row"),
            *(Column(header=str(index + 1)) for index in range(width)),
        ),
        rows=tuple(rows),
        note=f"{' and '.join(hidden)} are not shown; -v shows all." if hidden else "",
    )
