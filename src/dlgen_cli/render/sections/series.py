"""The norms of every layer against the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.render import numbers
from dlgen_cli.render.model import Column, Section, Table

_MOST_STEPS = 6
_SOURCES = {
    "record": "epochs that the runs record",
    "name": "the last number in each name",
    "order": "the order of the arguments",
}


def series_section(results: Mapping[str, Any], verbosity: int) -> Section | None:
    """One table: a row for each layer, a column for each step.

    Args:
        results: ``series`` and ``step_from``, as of ``dlgen spectra`` with several checkpoints.
        verbosity: 1 or more shows every step.

    Returns:
        None where there is no series.
    """
    series: Sequence[Mapping[str, Any]] = results.get("series", ())
    if not series:
        return None
    shown = series if verbosity else thinned(series, _MOST_STEPS)
    layers = list(dict.fromkeys(name for row in series for name in row["layers"]))
    columns = (
        Column(header="layer", kind="name"),
        *(Column(header=f"{row['step']:,}") for row in shown),
        Column(header="last / first", priority=1),
    )
    cells = tuple(
        (
            name,
            *(numbers.upper(_norm(row, name)) for row in shown),
            numbers.estimate(_growth(_norm(series[0], name), _norm(series[-1], name))),
        )
        for name in layers
    )
    left = len(series) - len(shown)
    more = f" {left} steps between are shown with -v." if left else ""
    return Section(
        title=f"Spectral norm ≤ against the step, {len(series)} checkpoints",
        blocks=(
            Table(
                columns=columns,
                rows=cells,
                note=f"Steps are {_SOURCES[results['step_from']]}.{more}",
            ),
        ),
        role="main",
    )


def thinned(rows: Sequence[Any], most: int) -> Sequence[Any]:
    """At most so many of the rows, evenly, the first and the last among them."""
    if len(rows) <= most:
        return rows
    return [rows[round(place * (len(rows) - 1) / (most - 1))] for place in range(most)]


def _norm(row: Mapping[str, Any], name: str) -> float | None:
    layer = row["layers"].get(name)
    return None if layer is None else layer["spectral_norm"].upper


def _growth(first: float | None, last: float | None) -> float | None:
    return last / first if first and last is not None else None
