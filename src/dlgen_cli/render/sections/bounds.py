"""The bounds side by side, and the one that the report stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.theorem import Part
from dlgen_cli.records import Bound, BoundStatus, Headline
from dlgen_cli.render import numbers, terms
from dlgen_cli.render.model import Column, Fact, Facts, Paragraph, Section, Table
from dlgen_cli.render.text import unbroken

STATUS_WORDS: dict[BoundStatus, str] = {
    "holds": "holds",
    "conditional": "conditional",
    "refuted": "refuted",
    "vacuous": "vacuous",
    "not_applicable": "n/a",
}
_BOUNDS_NOTHING: tuple[BoundStatus, ...] = ("not_applicable", "refuted")
VACUOUS = "Vacuous: 1 or more says nothing about a risk in [0,\u00a01]."


def bounds_section(bounds: Sequence[Bound]) -> Section | None:
    """Show every bound with its status and what it is made of; None without bounds.

    Args:
        bounds: in the order of the report.

    Returns:
        One table and, in plain words, what the statuses mean.
    """
    if not bounds:
        return None
    table = Table(
        columns=(
            Column(header="bound", kind="name"),
            Column(header="value ≤"),
            Column(header="status", kind="status"),
            Column(header="made of", kind="prose", priority=1),
        ),
        rows=tuple(
            (bound.theorem, value(bound), STATUS_WORDS[bound.status], _made_of(bound))
            for bound in bounds
        ),
    )
    meanings = []
    if any(bound.status == "conditional" for bound in bounds):
        text = "conditional: it holds if what the ledger calls assumed is true."
        meanings.append(Paragraph(text=text, tone="caution"))
    meanings += [_refutation(bound) for bound in bounds if bound.status == "refuted"]
    if any(bound.status == "vacuous" for bound in bounds):
        meanings.append(Paragraph(text=VACUOUS, tone="caution"))
    if any(bound.status == "not_applicable" for bound in bounds):
        text = (
            "n/a, not applicable: an assumption fails or an input is missing; the ledger names it."
        )
        meanings.append(Paragraph(text=text, tone="muted"))
    if any(bound.status in _BOUNDS_NOTHING and _has_value(bound) for bound in bounds):
        text = "A value in brackets is for comparison only and bounds nothing."
        meanings.append(Paragraph(text=text, tone="muted"))
    return Section(title="Bounds", blocks=(table, *meanings))


def headline_section(
    headline: Headline | None, bounds: Sequence[Bound], reason: str = ""
) -> Section | None:
    """Name the bound that the report stands for, with a verdict, or the reason why there is none.

    Args:
        headline: the best bound, with the choice paid for.
        bounds: all of them; the ledger of the named one decides the verdict.
        reason: why there is none.

    Returns:
        The section; None where there is neither.
    """
    if headline is None:
        text = Paragraph(text=f"There is none. {reason}", tone="caution")
        return Section(title="Headline", blocks=(text,)) if reason else None
    bound = next((bound for bound in bounds if bound.theorem == headline.theorem), None)
    named = headline.theorem if bound is None else f"{headline.theorem}: {bound.title}"
    size = unbroken(numbers.upper(headline.value, headline.log10_value))
    facts = [
        Fact(label="value ≤", value=size),
        Fact(label="bound", value=named),
        *_speaks_of(headline.theorem),
        Fact(label="delta", value=_failure_probability(headline)),
    ]
    if len(headline.candidates) > 1:
        facts.append(Fact(label="candidates", value=", ".join(headline.candidates)))
    facts.append(Fact(label="verdict", value=_verdict(headline, bound)))
    return Section(title="Headline", blocks=(Facts(facts=tuple(facts)),))


def _speaks_of(theorem: str) -> list[Fact]:
    known = THEOREMS.get(theorem)
    return [] if known is None else [Fact(label="of", value=known.speaks_of)]


def value(bound: Bound) -> str:
    """The size of a bound, in brackets where it bounds nothing."""
    text = numbers.upper(bound.value, bound.log10_value)
    return f"({text})" if bound.status in _BOUNDS_NOTHING and _has_value(bound) else text


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


def _has_value(bound: Bound) -> bool:
    return bound.value is not None or bound.log10_value is not None


def _failure_probability(headline: Headline) -> str:
    delta = unbroken(f"{numbers.setting(headline.delta)}")
    candidates = len(headline.candidates)
    if candidates < 2:
        return delta
    return f"{delta} for each of {candidates} candidates, so that the best may be chosen"


def _verdict(headline: Headline, bound: Bound | None) -> str:
    size = headline.log10_value if headline.value is None else headline.value
    limit = 0.0 if headline.value is None else 1.0
    if size is None:
        return "No value."
    if size >= limit:
        return VACUOUS
    if bound is None or not bound.assumptions:
        return "Below 1. No assumption is on record."
    counts = {line.status for line in bound.assumptions}
    if "violated" in counts:
        return "Below 1, but an assumption is violated: it bounds nothing."
    assumed = sum(line.status == "assumed" for line in bound.assumptions)
    if assumed:
        statements = "1 statement is" if assumed == 1 else f"{assumed} statements are"
        return f"Below 1. A bound, not a certificate: {statements} assumed."
    return "Below 1. A certificate: every assumption was verified or declared."


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
