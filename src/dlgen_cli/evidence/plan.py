"""What a family of theorems hands back, and the headline among bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dlgen_cli.bounds.assumptions import violated
from dlgen_cli.bounds.theorem import Theorem
from dlgen_cli.errors import TensorError
from dlgen_cli.records import Assumption, Bound, Headline


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A family, ready to be evaluated at any delta.

    Attributes:
        settings: the options in force, for the report.
        evaluate: all bounds of the family at a failure probability each.
        preferred: the theorem that stands for the family, fixed before any value is seen.
    """

    settings: Mapping[str, Any]
    evaluate: Callable[[float], Sequence[Bound]]
    preferred: str


def withheld_plan(
    settings: Mapping[str, Any],
    theorems: Sequence[Theorem],
    preferred: Theorem,
    assumptions: Sequence[Assumption],
    error: TensorError,
) -> Plan:
    """A family that cannot be evaluated, as a parameter cannot be read.

    Args:
        settings: the options in force, for the report.
        theorems: of the family.
        preferred: the one that stands for it.
        assumptions: what is known of the ledger.
        error: which one, and why.
    """
    line = violated("Every parameter of the hypothesis is a finite number.", error.message)
    ledger = (*assumptions, line)
    return Plan(
        settings=settings,
        evaluate=lambda _: [theorem.withheld(ledger) for theorem in theorems],
        preferred=preferred.name,
    )


def equal_share(delta: float, count: int) -> float:
    """Delta in equal shares, rounded down: ``count`` of them never add up to more."""
    share = delta / count
    while Fraction(share) * count > Fraction(delta):
        share = math.nextafter(share, 0.0)
    return share


def best_of(bounds: Sequence[Bound], share: float, candidates: Sequence[str]) -> Headline | None:
    """The smallest bound that applies and is not refuted; None where there is none.

    Args:
        bounds: each evaluated at its share of delta.
        share: that share.
        candidates: the theorems that there were to choose from, fixed before any value was seen.
    """
    found = [
        bound
        for bound in bounds
        if bound.status not in ("not_applicable", "refuted") and bound.log10_value is not None
    ]
    if not found:
        return None
    best = min(found, key=lambda bound: bound.log10_value or 0.0)
    return Headline(
        theorem=best.theorem,
        value=best.value,
        log10_value=best.log10_value,
        delta=share,
        candidates=tuple(candidates),
        status=best.status,
    )


def why_no_headline(bounds: Sequence[Bound]) -> str:
    """Why no bound stands for a report, in one sentence for each that might have.

    Args:
        bounds: all of the report, none of them fit to stand for it.
    """
    reasons: dict[str, list[str]] = {}
    for bound in bounds:
        if bound.theorem.startswith("rademacher."):
            reason = "a thin shell rests on what nothing can check, and never stands for a report"
        elif bound.status == "refuted":
            reason = "the errors on record refute it"
        else:
            violated = (line for line in bound.assumptions if line.status == "violated")
            first = next(violated, None)
            reason = (
                "it does not apply"
                if first is None
                else f"{first.statement.rstrip('.')}: no. {first.evidence.rstrip('.')}"
            )
        reasons.setdefault(reason, []).append(bound.theorem)
    return " ".join(f"{', '.join(names)}: {reason}." for reason, names in reasons.items())
