"""The bounds side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.theorem import Part
from dlgen_cli.records import Bound, BoundStatus, Headline
from dlgen_cli.render import numbers, terms
from dlgen_cli.render.model import Column, Paragraph, Section, Table
from dlgen_cli.render.sections.verdict import NOTHING
from dlgen_cli.render.text import unbroken

STATUS_WORDS: dict[BoundStatus, str] = {
    "holds": "holds",
    "conditional": "conditional",
    "refuted": "refuted",
    "vacuous": "vacuous",
    "not_applicable": "n/a",
}
_BEST_FIRST: tuple[BoundStatus, ...] = (
    "holds",
    "conditional",
    "vacuous",
    "refuted",
    "not_applicable",
)
_BOUNDS_NOTHING = _BEST_FIRST[3:]


def bounds_section(
    bounds: Sequence[Bound], headline: Headline | None = None, *, brief: bool = False
) -> Section | None:
    """Show every bound with its status and what it is made of; None without bounds.

    Args:
        bounds: in any order.
        headline: the one that stands for the report stands out.
        brief: a line for each bound; those that do not apply are only named.

    Returns:
        One table, the best first, and in plain words what the statuses mean.
    """
    if not bounds:
        return None
    ordered = sorted(bounds, key=_rank)
    if brief:
        ordered = [bound for bound in ordered if bound.status != "not_applicable"]
    named = None if headline is None else headline.theorem
    table = Table(
        columns=(
            Column(header="bound", kind="name"),
            Column(header="value ≤"),
            Column(header="status", kind="status"),
            Column(header="made of", kind="phrase" if brief else "prose", priority=1),
        ),
        rows=tuple(
            (bound.theorem, value(bound), STATUS_WORDS[bound.status], _made_of(bound))
            for bound in ordered
        ),
        marked=frozenset(i for i, bound in enumerate(ordered) if bound.theorem == named),
    )
    meanings = _meanings(bounds, brief=brief)
    tables = [table] if ordered else []
    return Section(title="Bounds, the best first", blocks=(*tables, *meanings), role="main")


def _rank(bound: Bound) -> tuple[int, float]:
    """By status, then by size."""
    size = bound.log10_value if bound.log10_value is not None else math.inf
    return _BEST_FIRST.index(bound.status), size


def _meanings(bounds: Sequence[Bound], *, brief: bool) -> list[Paragraph]:
    """What the statuses that occur mean."""
    meanings = []
    if any(bound.status == "conditional" for bound in bounds):
        text = "conditional: it holds if what the ledger calls assumed is true."
        meanings.append(Paragraph(text=text, tone="caution"))
    meanings += [_refutation(bound) for bound in bounds if bound.status == "refuted"]
    if not brief and any(bound.status == "vacuous" for bound in bounds):
        meanings.append(Paragraph(text=f"vacuous: {NOTHING}.", tone="caution"))
    withheld = [bound for bound in bounds if bound.status == "not_applicable"]
    if brief:
        return meanings + [Paragraph(text=text, tone="muted") for text in _reasons(withheld)]
    if withheld:
        text = (
            "n/a, not applicable: an assumption fails or an input is missing; the ledger names it."
        )
        meanings.append(Paragraph(text=text, tone="muted"))
    if any(bound.status in _BOUNDS_NOTHING and has_value(bound) for bound in bounds):
        text = "A value in brackets is for comparison only and bounds nothing."
        meanings.append(Paragraph(text=text, tone="muted"))
    return meanings


def _reasons(withheld: Sequence[Bound]) -> list[str]:
    """Why bounds do not apply, once for all that share a reason."""
    named: dict[str, list[str]] = {}
    for bound in withheld:
        line = next((line for line in bound.assumptions if line.status == "violated"), None)
        reason = "" if line is None else f": {line.statement.rstrip('.')}: no."
        if line is not None and not has_value(bound):  # one with a value is there to compare
            reason += f" {line.evidence}"
        named.setdefault(reason, []).append(bound.theorem)
    return [f"n/a: {', '.join(names)}{reason}" for reason, names in named.items()]


def value(bound: Bound) -> str:
    """The size of a bound, in brackets where it bounds nothing."""
    text = numbers.upper(bound.value, bound.log10_value)
    return f"({text})" if bound.status in _BOUNDS_NOTHING and has_value(bound) else text


def withheld_notes(bounds: Sequence[Bound]) -> list[Paragraph]:
    """Warn that a detailed table belongs to bounds that do not apply; empty where all do."""
    withheld = [bound.theorem for bound in bounds if bound.status == "not_applicable"]
    if not withheld:
        return []
    verb = "does" if len(withheld) == 1 else "do"
    text = f"{', '.join(withheld)} {verb} not apply: these numbers bound nothing."
    return [Paragraph(text=text, tone="caution")]


def _refutation(bound: Bound) -> Paragraph:
    found = bound.terms["refuted_by"]
    least, confidence = numbers.lower(found["at_least"]), numbers.setting(found["confidence"])
    text = (
        f"{bound.theorem} is refuted by the errors on record: the {found['quantity']} is at least "
        f"{least}, with confidence {confidence}. One of its assumptions is false."
    )
    return Paragraph(text=text, tone="bad")


def has_value(bound: Bound) -> bool:
    """Whether a number is on record, as one or as its logarithm."""
    return bound.value is not None or bound.log10_value is not None


def _made_of(bound: Bound) -> str:
    parts = _parts(bound)
    if not parts:
        violated = [line.statement for line in bound.assumptions if line.status == "violated"]
        return f"violated: {violated[0]}" if violated else numbers.MISSING
    return ", ".join(parts)


def _parts(bound: Bound) -> list[str]:
    theorem = THEOREMS.get(bound.theorem)
    if theorem is None:
        names = [name for name in bound.terms if terms.number(bound.terms, name) is not None]
        return [f"{name} {terms.upper(bound.terms, name)}" for name in names[:3]]
    return [text for part in theorem.made_of if (text := _said(bound.terms, part))]


def _said(made: Mapping[str, Any], part: Part) -> str:
    """A term in the words of its theorem; empty where it is not on record."""
    match part.kind:
        case "upper" if terms.has(made, part.term):
            return part.phrase.format(unbroken(terms.upper(made, part.term)))
        case "count" if isinstance(made.get(part.term), int):
            return unbroken(part.phrase.format(terms.count(made, part.term)))
        case "setting" if (typed := terms.number(made, part.term)) is not None:
            return unbroken(part.phrase.format(numbers.setting(typed)))
        case _:
            return ""
