"""The assumption ledger: what was verified, declared, assumed or violated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from dlgen_cli.records import AssumptionStatus, Bound
from dlgen_cli.render import numbers
from dlgen_cli.render.model import Column, Ledger, LedgerLine, Paragraph, Section, Table

_STATUSES: tuple[AssumptionStatus, ...] = get_args(AssumptionStatus)
_GRAVEST_FIRST: tuple[AssumptionStatus, ...] = ("violated", "assumed", "declared", "verified")
_ALWAYS_WRITTEN: tuple[AssumptionStatus, ...] = ("violated", "assumed")


def ledger_section(bounds: Sequence[Bound], verbosity: int) -> Section | None:
    """Account for every assumption of every bound; None where there is none.

    Args:
        bounds: all bounds of the report.
        verbosity: 0 counts by status, and writes out what is violated and what is assumed;
            1 or more writes out every line with its evidence. A line that bounds share is
            written once. The short form names what is declared in one paragraph.

    Returns:
        A table of counts, then the lines.
    """
    with_ledger = [bound for bound in bounds if bound.assumptions]
    if not with_ledger:
        return None
    lines = _lines(with_ledger, verbosity)
    counts = _counts(with_ledger)
    vouched = [] if verbosity else _vouched(with_ledger)
    written = [Ledger(lines=tuple(lines))] if lines else []
    return Section(title="Assumptions", blocks=(counts, *vouched, *written))


def _vouched(bounds: Sequence[Bound]) -> list[Paragraph]:
    """What only the user can know, in one paragraph; empty where there is nothing."""
    lines = (line for bound in bounds for line in bound.assumptions)
    said = dict.fromkeys(line.statement for line in lines if line.status == "declared")
    if not said:
        return []
    return [Paragraph(text=f"You vouch for: {' '.join(said)}")]


def _counts(bounds: Sequence[Bound]) -> Table:
    rows = []
    for bound in bounds:
        counted = Counter(line.status for line in bound.assumptions)
        cells = [numbers.integer(counted[s]) if counted[s] else numbers.MISSING for s in _STATUSES]
        rows.append((bound.theorem, *cells))
    return Table(
        columns=(
            Column(header="bound", kind="name"),
            *(Column(header=status) for status in _STATUSES),
        ),
        rows=tuple(rows),
    )


def _lines(bounds: Sequence[Bound], verbosity: int) -> list[LedgerLine]:
    """Each distinct line once, the gravest first; a short ledger says little of the assumed."""
    shared: dict[tuple[AssumptionStatus, str, str], list[str]] = {}
    for bound in bounds:
        for line in bound.assumptions:
            in_full = verbosity > 0 or line.status == "violated"
            key = (line.status, line.statement, line.evidence if in_full else "")
            theorems = shared.setdefault(key, [])
            if bound.theorem not in theorems:
                theorems.append(bound.theorem)
    return [
        LedgerLine(
            status=status,
            statement=statement,
            evidence=evidence,
            scope=_scope(theorems, bounds) if verbosity or status == "violated" else "",
        )
        for wanted in (_GRAVEST_FIRST if verbosity else _ALWAYS_WRITTEN)
        for (status, statement, evidence), theorems in shared.items()
        if status == wanted
    ]


def _scope(theorems: Sequence[str], bounds: Sequence[Bound]) -> str:
    return "" if len(theorems) == len(bounds) else f"in {', '.join(theorems)}"
