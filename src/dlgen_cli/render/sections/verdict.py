"""The answer: the bound that a report stands for, what it says, and what it rests on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.records import AssumptionStatus, Bound, BoundStatus, Headline, Report
from dlgen_cli.render import numbers, terms
from dlgen_cli.render.model import Block, Claim, Fact, Facts, Paragraph, Section, Tone
from dlgen_cli.render.sections.budget import budget_text
from dlgen_cli.render.text import unbroken

NOTHING = "1 or more says nothing about a gap or a risk in [0,\u00a01]"
_GAP = "the gap (error on new data minus error in training)"
_TONES: Mapping[BoundStatus, Tone] = {"holds": "good", "conditional": "caution"}
#: Settings that say that labelled examples were given.
_OF_DATA = ("data", "errors", "predictions")


def verdict_section(report: Report, *, brief: bool = False) -> Section | None:
    """Say what a report stands for, or why nothing does.

    Args:
        report: with its headline, or the reason why it has none.
        brief: do not name what the headline was chosen among, nor how a vacuous one may fail.

    Returns:
        The answer; None for a report without bounds.
    """
    headline = report.headline
    if headline is None:
        return _no_headline(report) if report.headline_reason else None
    bound = next((one for one in report.bounds if one.theorem == headline.theorem), None)
    size = unbroken(numbers.upper(headline.value, headline.log10_value))
    status = _status(headline, bound)
    tone = _TONES.get(status, "bad")
    facts = [
        Fact(label=label, value=value)
        for label, value in _facts(report, headline, bound, brief=brief)
    ]
    blocks: list[Block] = [
        Claim(value=size, status=status.replace("_", " "), tone=tone),
        Paragraph(text=_meaning(headline, bound, status, size)),
    ]
    told = (report.results or {}).get("verdict")
    if isinstance(told, str):
        blocks.append(Paragraph(text=told))
    return Section(title="Verdict", blocks=(*blocks, Facts(facts=tuple(facts))), role="answer")


def _no_headline(report: Report) -> Section:
    blocks: list[Block] = [
        Claim(value="", status="no bound stands for this report", tone="caution"),
        Paragraph(text=report.headline_reason),
    ]
    budget = budget_text(report)
    told = [*([("it can pay", budget)] if budget else []), *_next(report)]
    if told:
        blocks.append(Facts(facts=tuple(Fact(label=label, value=value) for label, value in told)))
    return Section(title="Verdict", blocks=tuple(blocks), role="answer")


def _status(headline: Headline, bound: Bound | None) -> BoundStatus:
    """The status of the headline, held against the ledger of its bound."""
    size = headline.log10_value if headline.value is None else headline.value
    if size is None or size >= (0.0 if headline.value is None else 1.0):
        return "vacuous"
    counts = {line.status for line in bound.assumptions} if bound is not None else set()
    if "violated" in counts:
        return "not_applicable"
    return "conditional" if "assumed" in counts else "holds"


def _meaning(headline: Headline, bound: Bound | None, status: BoundStatus, size: str) -> str:
    theorem = THEOREMS.get(headline.theorem)
    about = "what it bounds" if theorem is None else theorem.speaks_of
    about = about.replace("the gap", _GAP, 1)
    if status == "vacuous":
        return f"It bounds {about}. A value of 1 or more says nothing."
    if status == "not_applicable":
        return "Below 1, but an assumption is violated: it bounds nothing."
    chance = numbers.setting(headline.delta * len(headline.candidates))
    comma = "," if ", " in about else ""
    said = f"With probability at least 1 − {chance}, {about}{comma} is at most {size}."
    if bound is None or not bound.assumptions:
        return f"{said} No assumption is on record."
    assumed = sum(line.status == "assumed" for line in bound.assumptions)
    if assumed:
        statements = "1 statement is" if assumed == 1 else f"{assumed} statements are"
        return f"{said} A bound, not a certificate: {statements} assumed."
    return f"{said} A certificate: every assumption was verified or declared."


def _facts(
    report: Report, headline: Headline, bound: Bound | None, *, brief: bool
) -> Iterator[tuple[str, str]]:
    yield "bound", headline.theorem if bound is None else f"{headline.theorem}: {bound.title}"
    is_vacuous = _status(headline, bound) == "vacuous"
    if not (brief and is_vacuous):
        yield "delta", _failure_probability(headline)
    if len(headline.candidates) > 1 and not brief:
        yield "candidates", ", ".join(headline.candidates)
    if is_vacuous and bound is not None and (needed := _needed(bound)):
        yield "to say more", needed
    if budget := budget_text(report):
        yield "it can pay", budget
    if is_vacuous:
        yield from _next(report)
    if vouched := _statements(bound, "declared"):
        yield "you vouch for", vouched
    if assumed := _statements(bound, "assumed"):
        yield "assumed", assumed


def _failure_probability(headline: Headline) -> str:
    delta = unbroken(numbers.setting(headline.delta))
    candidates = len(headline.candidates)
    if candidates < 2:
        return delta
    return f"{delta} for each of {candidates} candidates, so that the best may be chosen"


def _needed(bound: Bound) -> str:
    """What would have to be smaller for a vacuous bound to be below 1; empty where unknown."""
    made = bound.terms
    if isinstance(made.get("informative_bits"), int) and isinstance(made.get("bits"), int):
        needed = []
        if terms.magnitude(made, "complexity") >= 0:
            needed.append(
                f"at most {numbers.integer(made['informative_bits'])} bits in the place of "
                f"{numbers.integer(made['bits'])}"
            )
        if terms.magnitude(made, "approximation") >= 0:
            needed.append(f"an approximation below 1, not {terms.upper(made, 'approximation')}")
        return " and ".join(needed) or "both terms are below 1, but not their sum"
    if terms.has(made, "kl_nats") and isinstance(made.get("examples"), int):
        most = numbers.integer(2 * made["examples"])
        return f"a KL below 2m = {most} nats, not {terms.upper(made, 'kl_nats')}"
    return ""


def _next(report: Report) -> Iterator[tuple[str, str]]:
    """What to run for an answer that says more."""
    if report.provenance is None:
        return
    if not any(_is_given(report.settings, name) for name in _OF_DATA):
        arch = "" if report.provenance.architecture else " --arch NAME"
        command = f"dlgen certify {shlex.quote(report.provenance.checkpoint)} --data DIR{arch}"
        yield "next", f"{command} (the risk itself)"
    yield "train for it", "dlgen train --objective coded, or pac-bayes from --anchors"


def _is_given(settings: Mapping[str, Any], name: str) -> bool:
    return settings.get(name) not in (None, "", [], ())


def _statements(bound: Bound | None, status: AssumptionStatus) -> str:
    lines = () if bound is None else bound.assumptions
    return " ".join(dict.fromkeys(line.statement for line in lines if line.status == status))
