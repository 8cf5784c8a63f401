"""The PAC-Bayes bounds in detail: anchor by anchor, layer by layer, sigma by sigma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import Bound
from dlgen_cli.render import numbers, terms
from dlgen_cli.render.model import Column, Section, Table
from dlgen_cli.render.sections.bounds import withheld_notes
from dlgen_cli.render.text import unbroken

_MOST_LAYERS = 8

Rows = list[Mapping[str, Any]]


def pac_bayes_sections(bounds: Sequence[Bound], verbosity: int) -> list[Section]:
    """Show the anchors, what the divergence to the nearest comes from, and the sigmas tried.

    Args:
        bounds: all bounds of the report.
        verbosity: 1 or more shows every layer.

    Returns:
        The sections that the bounds have something for. Bounds that share the same divergences
        share a table.
    """
    ours = terms.of_family(bounds, "pac_bayes")
    groups = _by_anchors(ours)
    sections: list[Section | None] = [
        _anchors_section(members, alone=len(groups) == 1) for members in groups
    ]
    sections += [_layers_section(ours, verbosity), _sigmas_section(ours)]
    return [section for section in sections if section is not None]


def _by_anchors(bounds: Sequence[Bound]) -> list[list[Bound]]:
    groups: dict[tuple[object, ...], list[Bound]] = {}
    for bound in bounds:
        anchors = terms.rows(bound.terms, "anchors")
        key = tuple(
            (row.get("name"), terms.upper(row, "distance"), terms.upper(row, "kl_nats"))
            for row in anchors
        )
        if anchors:
            groups.setdefault(key, []).append(bound)
    return list(groups.values())


def _anchors_section(bounds: Sequence[Bound], *, alone: bool) -> Section:
    tables = [terms.rows(bound.terms, "anchors") for bound in bounds]
    valued = [
        (bound, anchors)
        for bound, anchors in zip(bounds, tables, strict=True)
        if any(terms.has(row, "value") for row in anchors)
    ]
    nearest = _nearest(tables[0])
    rows = []
    for index, row in enumerate(tables[0]):
        cells = [str(row.get("name", index)), terms.upper(row, "distance")]
        cells.append(terms.upper(row, "kl_nats"))
        cells += [terms.upper(anchors[index], "value") for _, anchors in valued]
        cells.append("nearest" if index == nearest and len(tables[0]) > 1 else "")
        rows.append(tuple(cells))
    columns = [
        Column(header="anchor", kind="name"),
        Column(header="distance ≤"),
        Column(header="KL (nats) ≤"),
        *(Column(header=terms.short_name(bound), priority=1) for bound, _ in valued),
        Column(header="", kind="status", priority=2),
    ]
    theorems = ", ".join(terms.short_name(bound) for bound in bounds)
    title = "PAC-Bayes anchors" if alone else f"PAC-Bayes anchors: {theorems}"
    table = Table(columns=tuple(columns), rows=tuple(rows), marked=frozenset({nearest}))
    return Section(title=title, blocks=(table, *withheld_notes(bounds)))


def _layers_section(bounds: Sequence[Bound], verbosity: int) -> Section | None:
    for bound in bounds:
        anchors = terms.rows(bound.terms, "anchors")
        if not anchors:
            continue
        anchor = anchors[_nearest(anchors)]
        layers = terms.rows(anchor, "layers")
        if layers:
            return _contributions(str(anchor.get("name", "")), layers, verbosity)
    return None


def _contributions(anchor: str, layers: Rows, verbosity: int) -> Section:
    largest_first = sorted(
        layers, key=lambda row: terms.magnitude(row, "squared_distance"), reverse=True
    )
    shown = largest_first if verbosity else largest_first[:_MOST_LAYERS]
    rest = largest_first[len(shown) :]
    note = ""
    if rest:
        share = sum(terms.number(row, "share") or 0.0 for row in rest)
        note = (
            f"And {numbers.integer(len(rest))} more, with {numbers.percent(share)} together; "
            "-v shows all."
        )
    table = Table(
        columns=(
            Column(header="layer", kind="name"),
            Column(header="squared distance ≤"),
            Column(header="share of the KL"),
        ),
        rows=tuple(
            (
                str(row.get("name", "")),
                terms.upper(row, "squared_distance"),
                numbers.percent(terms.number(row, "share")),
            )
            for row in shown
        ),
        note=note,
    )
    title = f"Where the KL to {anchor} comes from" if anchor else "Where the KL comes from"
    return Section(title=title, blocks=(table,))


def _sigmas_section(bounds: Sequence[Bound]) -> Section | None:
    tried = [
        (bound, rows) for bound in bounds if len(rows := terms.rows(bound.terms, "sigmas")) > 1
    ]
    if not tried:
        return None
    sigmas = list(dict.fromkeys(terms.number(row, "sigma") for _, rows in tried for row in rows))
    cells = []
    for sigma in sigmas:
        line = [numbers.MISSING if sigma is None else numbers.setting(sigma)]
        line += [_value_at(rows, sigma) for _, rows in tried]
        best = [terms.short_name(bound) for bound, _ in tried if bound.terms.get("sigma") == sigma]
        line.append("best" if len(best) == len(tried) else unbroken(_best_for(best)))
        cells.append(tuple(line))
    table = Table(
        columns=(
            Column(header="σ"),
            *(Column(header=terms.short_name(bound)) for bound, _ in tried),
            Column(header="", kind="status"),
        ),
        rows=tuple(cells),
        marked=frozenset(index for index, line in enumerate(cells) if line[-1]),
    )
    return Section(title="PAC-Bayes: every σ", blocks=(table,))


def _value_at(rows: Rows, sigma: float | None) -> str:
    for row in rows:
        if terms.number(row, "sigma") == sigma:
            return terms.upper(row, "value")
    return numbers.MISSING


def _best_for(names: Sequence[str]) -> str:
    return f"best for {', '.join(names)}" if names else ""


def _nearest(anchors: Rows) -> int:
    return min(range(len(anchors)), key=lambda index: terms.magnitude(anchors[index], "kl_nats"))
