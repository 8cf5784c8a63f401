"""The compression bounds in detail: the sweep over the rank, and the ranks by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import Bound, LayerSpectrum
from dlgen_cli.render import numbers, terms
from dlgen_cli.render.model import Column, Paragraph, Section, Table
from dlgen_cli.render.sections.bounds import withheld_notes

_SWEEP_ROWS = 12
_MOST_LAYERS = 16
_NEIGHBOURS = 2


def compression_sections(
    bounds: Sequence[Bound], layers: Sequence[LayerSpectrum], verbosity: int
) -> list[Section]:
    """Say what is to blame, show each sweep, then the ranks that were chosen by layer.

    Args:
        bounds: all bounds of the report.
        layers: for the full rank of each.
        verbosity: 1 or more shows every row.

    Returns:
        The sections that the bounds have something for.
    """
    ours = terms.of_family(bounds, "compression")
    sections = [_blame_section(ours)]
    sections += [_sweep_section(bound, verbosity) for bound in ours]
    sections.append(_ranks_section(ours, layers, verbosity))
    return [section for section in sections if section is not None]


def thin_sweep(length: int, best: int, limit: int = _SWEEP_ROWS) -> list[int]:
    """Choose rows of a sweep: the ends, the best with its neighbours, and powers between.

    Args:
        length: rows of the sweep.
        best: index of the best row.
        limit: about how many rows to keep.

    Returns:
        Increasing indices.
    """
    if length <= limit:
        return list(range(length))
    near = range(max(0, best - _NEIGHBOURS), min(length, best + _NEIGHBOURS + 1))
    kept = {0, length - 1, *near}
    steps = limit - len(kept) + 1
    kept.update(round(length ** (step / steps)) - 1 for step in range(1, steps))
    return sorted(kept)


def _blame_section(bounds: Sequence[Bound]) -> Section | None:
    """Which term makes the last vacuous bound so, and what code length would not."""
    vacuous = [bound for bound in bounds if bound.status == "vacuous"]
    if not vacuous or "informative_bits" not in vacuous[-1].terms:
        return None
    values = vacuous[-1].terms
    complexity = terms.magnitude(values, "complexity")
    approximation = terms.magnitude(values, "approximation")
    parts = [
        name
        for name, size in (("complexity", complexity), ("approximation", approximation))
        if size >= 0  # log10 of the term
    ]
    blame = " and ".join(parts)
    sentences = [
        f"{vacuous[-1].theorem}: "
        + (
            f"{blame} alone {'is' if len(parts) == 1 else 'are each'} 1 or more."
            if parts
            else "only the sum of both terms is 1 or more."
        ),
        (
            f"It spends {numbers.integer(values['bits'])} bits; complexity is below 1 up to "
            f"{numbers.integer(values['informative_bits'])} bits."
        ),
        (
            f"Rank 1 at one bit for each parameter takes {terms.upper(values, 'least_complexity')} "
            "of complexity already."
        ),
    ]
    return Section(title="What is to blame", blocks=(Paragraph(text=" ".join(sentences)),))


def _sweep_section(bound: Bound, verbosity: int) -> Section | None:
    sweep = terms.rows(bound.terms, "sweep")
    if not sweep:
        return None
    best = _best_row(bound, sweep)
    kept = list(range(len(sweep))) if verbosity else thin_sweep(len(sweep), best)
    hidden = len(sweep) - len(kept)
    table = Table(
        columns=(
            Column(header="r"),
            Column(header="bits", priority=2),
            Column(header="complexity"),
            Column(header="distance", priority=3),
            Column(header="approximation"),
            Column(header="bound ≤"),
            Column(header="", kind="status"),
        ),
        rows=tuple(
            (
                terms.count(sweep[index], "rank"),
                terms.count(sweep[index], "bits"),
                terms.upper(sweep[index], "complexity"),
                terms.upper(sweep[index], "distance"),
                terms.upper(sweep[index], "approximation"),
                terms.upper(sweep[index], "value"),
                "best" if index == best else "",
            )
            for index in kept
        ),
        marked=frozenset({kept.index(best)}),
        note=f"{numbers.integer(hidden)} ranks between are not shown; -v shows all."
        if hidden
        else "",
    )
    title = f"{bound.theorem}: every rank r"
    return Section(title=title, blocks=(table, *withheld_notes([bound])))


def _best_row(bound: Bound, sweep: Sequence[Mapping[str, Any]]) -> int:
    rank = bound.terms.get("rank")
    for index, row in enumerate(sweep):
        if rank is not None and row.get("rank") == rank:
            return index
    return min(range(len(sweep)), key=lambda index: terms.magnitude(sweep[index], "value"))


def _ranks_section(
    bounds: Sequence[Bound], layers: Sequence[LayerSpectrum], verbosity: int
) -> Section | None:
    chosen = [
        bound
        for bound in bounds
        if isinstance(bound.terms.get("ranks"), Mapping) and bound.terms["ranks"]
    ]
    if not chosen:
        return None
    names = list(dict.fromkeys(name for bound in chosen for name in bound.terms["ranks"]))
    shown = names if verbosity else names[:_MOST_LAYERS]
    full = {layer.name: _full_rank(layer) for layer in layers}
    columns = [Column(header="layer", kind="name"), Column(header="full rank", priority=2)]
    columns += [Column(header=terms.short_name(bound)) for bound in chosen]
    errors = _stored_errors(chosen)
    if errors:
        columns.append(Column(header="stored error ≤", priority=1))
    rows = []
    for name in shown:
        row = [name, numbers.integer(full.get(name))]
        row += [_rank(bound, name) for bound in chosen]
        if errors:
            row.append(terms.upper(errors, name))
        rows.append(tuple(row))
    hidden = len(names) - len(shown)
    table = Table(
        columns=tuple(columns),
        rows=tuple(rows),
        note=f"And {numbers.integer(hidden)} more; -v shows all." if hidden else "",
    )
    return Section(title="Ranks by layer", blocks=(table,))


def _rank(bound: Bound, name: str) -> str:
    whole = bound.terms.get("stored_whole")
    if isinstance(whole, Sequence) and name in whole:
        return "whole"
    return terms.count(bound.terms["ranks"], name)


def _stored_errors(bounds: Sequence[Bound]) -> Mapping[str, Any]:
    for bound in bounds:
        errors = bound.terms.get("layer_error_upper")
        if isinstance(errors, Mapping):
            return errors
    return {}


def _full_rank(layer: LayerSpectrum) -> int:
    rows, *rest = layer.shape or (0,)
    return min(rows, math.prod(rest))
