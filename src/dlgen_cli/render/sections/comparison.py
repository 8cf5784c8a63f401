"""How far the layers of a checkpoint are from those of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import Interval
from dlgen_cli.render import numbers
from dlgen_cli.render.model import Block, Column, Paragraph, Section, Table

_MOST_NAMES = 8


def comparison_section(against: Mapping[str, Any] | None, verbosity: int) -> Section | None:
    """Describe the distances, the largest relative one first; None where nothing was compared.

    Args:
        against: what ``results["against"]`` holds.
        verbosity: 1 or more shows rows of equal weights too, and all names.

    Returns:
        One table, and the names of weights that are equal, missing or of another shape.
    """
    if against is None:
        return None
    rows = against["layers"]
    equal = [row["name"] for row in rows if row["spectral"].upper == 0.0]
    shown = rows if verbosity else [row for row in rows if row["name"] not in set(equal)]
    blocks: list[Block] = [_table(shown)] if shown else []
    if rows and len(equal) == len(rows):
        blocks.append(Paragraph(text="All weights are equal."))
    elif equal:
        blocks.append(Paragraph(text=f"Equal: {_listed(equal, verbosity)}."))
    missing = [
        f"{row['name']} ({_shape(row['shape'])} against {_shape(row['against_shape'])})"
        for row in against["mismatched"]
    ]
    for text, names in (
        ("Only in the checkpoint", against["only_in_checkpoint"]),
        (f"Only in {against['checkpoint']}", against["only_in_against"]),
        ("Of another shape or kind", missing),
    ):
        if names:
            listed = f"{text}: {_listed(names, verbosity)}."
            blocks.append(Paragraph(text=listed, tone="caution"))
    return Section(
        title=f"Distance from {against['checkpoint']}", blocks=tuple(blocks), role="main"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column(header="layer", kind="name"),
        Column(header="shape", priority=4),
        Column(header="relative distance ≤"),
        Column(header="relative Frobenius ≤", priority=2),
        Column(header="spectral distance ≥", priority=5),
        Column(header="spectral distance ≤"),
        Column(header="Frobenius distance ≤", priority=1),
    )
    cells = tuple(
        (
            row["name"],
            _shape(row["shape"]),
            _upper(row["relative_spectral"]),
            _upper(row["relative_frobenius"]),
            numbers.lower(row["spectral"].lower),
            _upper(row["spectral"]),
            _upper(row["frobenius"]),
        )
        for row in rows
    )
    return Table(
        columns=columns,
        rows=cells,
        note="Relative to the norms of the other checkpoint: ‖W − W′‖ / ‖W′‖, the largest first.",
    )


def _upper(interval: Interval | None) -> str:
    return numbers.upper(None if interval is None else interval.upper)


def _shape(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))


def _listed(names: Sequence[str], verbosity: int) -> str:
    shown = names if verbosity else names[:_MOST_NAMES]
    more = len(names) - len(shown)
    text = ", ".join(shown)
    return f"{text} and {numbers.integer(more)} more with -v" if more else text
