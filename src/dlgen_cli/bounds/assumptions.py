"""Lines of the ledger that several theorems share, and the status of a bound."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import log10, to_float
from dlgen_cli.records import Assumption, Bound, BoundStatus


def conclude(
    *,
    theorem: str,
    title: str,
    value: Decimal | None,
    terms: dict[str, Any],
    assumptions: Iterable[Assumption],
    source: str,
    show_invalid: bool = False,
) -> Bound:
    """Turn an evaluated theorem into a record with its status.

    Args:
        theorem: stable identifier.
        title: one line for a reader.
        value: upper bound, at least 0; None where nothing could be computed.
        terms: the numbers that the value is made of.
        assumptions: the ledger. A violated line withholds the value.
        source: where the theorem stands.
        show_invalid: keep the value of a statement whose assumptions are violated, for
            comparison only; its status is ``not_applicable`` all the same.

    Returns:
        ``not_applicable`` without a value where an assumption is violated or nothing was
        computed, ``vacuous`` at 1 or more, ``holds`` below.
    """
    ledger = tuple(assumptions)
    status: BoundStatus
    if value is None or any(line.status == "violated" for line in ledger):
        status = "not_applicable"
        value = value if show_invalid else None
    else:
        status = "vacuous" if value >= 1 or to_float(value) == 1 else "holds"
    return Bound(
        theorem=theorem,
        title=title,
        status=status,
        value=None if value is None else to_float(value),
        log10_value=None if value is None else log10(value),
        terms=terms,
        assumptions=ledger,
        source=source,
    )


def assumed(statement: str, evidence: str) -> Assumption:
    """A line that nobody checked."""
    return Assumption(statement=statement, status="assumed", evidence=evidence)


def declared(statement: str, evidence: str) -> Assumption:
    """A line that the user put on the record."""
    return Assumption(statement=statement, status="declared", evidence=evidence)


def verified(statement: str, evidence: str) -> Assumption:
    """A line that the program checked."""
    return Assumption(statement=statement, status="verified", evidence=evidence)


def violated(statement: str, evidence: str) -> Assumption:
    """A line that the program found to be false."""
    return Assumption(statement=statement, status="violated", evidence=evidence)
