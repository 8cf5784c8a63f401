"""The answer: it follows the ledger, and says what would be needed."""

from dataclasses import replace

import pytest

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.model import Claim, Facts, Paragraph


def answer(report: Report, *, one_screen: bool = False):
    """The claim, the sentences and the facts of the first section."""
    section = build_document(report, one_screen=one_screen).sections[0]
    assert (section.title, section.role) == ("Verdict", "answer")
    (claim,) = [block for block in section.blocks if isinstance(block, Claim)]
    text = " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))
    facts = {
        fact.label: fact.value
        for block in section.blocks
        if isinstance(block, Facts)
        for fact in block.facts
    }
    return claim, text, facts


@pytest.mark.parametrize(
    ("keep", "status", "sentence"),
    [
        (slice(0, 2), "holds", "A certificate: every assumption was verified or declared."),
        (slice(0, 3), "conditional", "A bound, not a certificate: 1 statement is assumed."),
        (slice(0, 4), "not applicable", "Below 1, but an assumption is violated"),
    ],
)
def test_the_verdict_follows_the_ledger(
    audit_report: Report, keep: slice, status: str, sentence: str
):
    ledger = audit_report.bounds[2].assumptions[keep]
    bounds = [replace(audit_report.bounds[1], assumptions=ledger)]
    claim, text, facts = answer(replace(audit_report, bounds=bounds))
    assert (claim.value, claim.status) == ("0.4124", status)
    assert sentence in text
    assert facts["you vouch for"] == "The examples are drawn independently."
    assert ("assumed" in facts) == (status != "holds")


def test_what_holds_says_with_which_probability_and_of_what(audit_report: Report):
    _, text, facts = answer(audit_report)
    assert "With probability at least 1 − 0.05, the risk of the network that the code" in text
    assert "is at most 0.4124" in text
    assert facts["candidates"] == "compression.occam, holdout.clopper_pearson"
    assert "candidates" not in answer(audit_report, one_screen=True)[2]
    assert "next" not in facts


def vacuous(report: Report, theorem: str):
    headline = replace(report.headline, theorem=theorem, value=2.2, log10_value=0.35)
    return replace(report, headline=headline, settings={"m": 50_000})


def test_a_vacuous_code_says_how_long_it_may_be(audit_report: Report):
    bounds = [
        replace(one, terms=one.terms | {"informative_bits": 77}) for one in audit_report.bounds
    ]
    claim, text, facts = answer(vacuous(replace(audit_report, bounds=bounds), "compression.stored"))
    assert claim.tone == "bad"
    assert "the gap (error on new data minus error in training) of the network itself" in text
    assert facts["to say more"] == (
        "at most 77 bits in the place of 123,456 and an approximation below 1, not 1.300 × 10^3699"
    )
    assert facts["next"] == "dlgen certify runs/standard --data DIR (the risk itself)"
    assert facts["it can pay"].startswith("50,000 examples at a training error of ")


def test_a_vacuous_divergence_says_how_small_it_would_have_to_be(audit_report: Report):
    bounds = [replace(one, terms=one.terms | {"examples": 50_000}) for one in audit_report.bounds]
    report = vacuous(replace(audit_report, bounds=bounds), "pac_bayes.mixture")
    assert answer(report)[2]["to say more"] == "a KL below 2m = 100,000 nats, not 500,000"
    given = replace(report, settings={"data": "digits"})
    assert "next" not in answer(given)[2]
    assert "train for it" in answer(given)[2]


def test_without_a_headline_the_reason_is_the_answer(audit_report: Report):
    report = replace(audit_report, headline=None, headline_reason="x: it does not apply.")
    claim, text, facts = answer(report)
    assert claim.line == "no bound stands for this report"
    assert text == "x: it does not apply."
    assert "dlgen certify" in facts["next"]
