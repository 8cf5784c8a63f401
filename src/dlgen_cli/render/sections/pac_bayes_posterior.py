"""A trained posterior in detail: every one that was scored, and which tensors its KL comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import Bound
from dlgen_cli.render import numbers, terms
from dlgen_cli.render.model import Column, Section, Table
from dlgen_cli.render.sections.bounds import withheld_notes

_MOST_COORDINATES = 8


def posterior_sections(
    bounds: Sequence[Bound], results: Mapping[str, Any], verbosity: int
) -> list[Section]:
    """Show the posteriors side by side, and what the KL of the best comes from.

    Args:
        bounds: all bounds of the report.
        results: of the report; its ``coordinates`` are those of the best posterior.
        verbosity: 1 or more shows every coordinate.

    Returns:
        The sections that there is something for.
    """
    found = [_sweep(bound) for bound in bounds if len(posteriors(bound)) > 1]
    coordinates = terms.rows(results, "coordinates")
    return [*found, _coordinates(coordinates, verbosity)] if coordinates else found


def posteriors(bound: Bound) -> list[Mapping[str, Any]]:
    """The posteriors that a bound compares; empty for one that compares none."""
    return terms.rows(bound.terms, "posteriors")


def _sweep(bound: Bound) -> Section:
    rows = posteriors(bound)
    best = next(
        (index for index, row in enumerate(rows) if row.get("name") == bound.terms.get("name")), -1
    )
    table = Table(
        columns=(
            Column(header="posterior", kind="name"),
            Column(header="KL (nats) ≤"),
            Column(header="risk on the sample", priority=1),
            Column(header="its limit ≤"),
            Column(header="bound ≤"),
            Column(header="", kind="status"),
        ),
        rows=tuple(
            (
                str(row.get("name", "")),
                terms.upper(row, "kl_nats"),
                numbers.estimate(terms.number(row, "empirical_risk")),
                terms.upper(row, "empirical_risk_upper"),
                terms.upper(row, "value"),
                "best" if index == best else "",
            )
            for index, row in enumerate(rows)
        ),
        marked=frozenset({best}),
    )
    return Section(title="Trained posteriors", blocks=(table, *withheld_notes([bound])))


def _coordinates(rows: Sequence[Mapping[str, Any]], verbosity: int) -> Section:
    largest = sorted(rows, key=_nats, reverse=True)
    shown = largest if verbosity else largest[:_MOST_COORDINATES]
    rest = len(largest) - len(shown)
    table = Table(
        columns=(
            Column(header="tensor", kind="name"),
            Column(header="distance (nats) ≤"),
            Column(header="spread (nats) ≤"),
        ),
        rows=tuple(
            (
                str(row.get("name", "")),
                terms.upper(row, "distance_nats_upper"),
                terms.upper(row, "spread_nats_upper"),
            )
            for row in shown
        ),
        note=f"And {numbers.integer(rest)} more; -v shows all." if rest else "",
    )
    return Section(title="Where the KL of the posterior comes from", blocks=(table,))


def _nats(row: Mapping[str, Any]) -> float:
    names = ("distance_nats_upper", "spread_nats_upper")
    return sum(terms.number(row, name) or 0.0 for name in names)
