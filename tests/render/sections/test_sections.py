from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document
from dlgen_cli.render.model import Paragraph
from dlgen_cli.render.sections.compression import thin_sweep
from dlgen_cli.render.text import fold_name, fold_words, unbroken


@given(st.integers(1, 5000), st.data())
def test_a_thinned_sweep_keeps_the_ends_and_the_best(length: int, data: st.DataObject):
    best = data.draw(st.integers(0, length - 1))
    kept = thin_sweep(length, best)
    assert {0, best, length - 1} <= set(kept)
    assert kept == sorted(set(kept))
    assert 0 <= kept[0] <= kept[-1] < length
    assert len(kept) <= 12


def test_what_is_declared_is_named_in_short(audit_report: Report):
    def paragraphs(verbosity: int) -> list[str]:
        section = build_document(audit_report, verbosity).sections
        ledger = next(one for one in section if one.title == "Assumptions")
        return [block.text for block in ledger.blocks if isinstance(block, Paragraph)]

    lines = [line for bound in audit_report.bounds for line in bound.assumptions]
    declared = {line.statement for line in lines if line.status == "declared"}
    (text,) = paragraphs(0)
    assert text.startswith("You vouch for: ")
    assert all(text.count(statement) == 1 for statement in declared)
    assert not paragraphs(1)


def test_a_report_with_nothing_is_a_title():
    document = build_document(Report(dlgen_version="0", command="train"))
    assert document.sections == ()
    assert document.facts == ()


def test_sections_stand_in_order(audit_report: Report):
    document = build_document(audit_report)
    titles = [section.title for section in document.written]
    assert [section.title for section in document.sections] == [*titles, "Plots"]
    assert titles == [
        "Layers: 53, with 731,648 weights",
        "Skipped: 30",
        "Bounds",
        "Ranks by layer",
        "PAC-Bayes anchors",
        "Where the KL to anchors/seed-0.safetensors comes from",
        "PAC-Bayes: every σ",
        "Rademacher shell",
        "Headline",
        "Assumptions",
    ]


def test_a_table_of_a_bound_that_does_not_apply_warns(audit_report: Report):
    sections = {section.title: section for section in build_document(audit_report).sections}
    notes = [b.text for b in sections["PAC-Bayes anchors"].blocks if isinstance(b, Paragraph)]
    assert notes == ["pac_bayes.anchors does not apply: these numbers bound nothing."]


@pytest.mark.parametrize(
    ("keep", "verdict"),
    [
        (slice(0, 2), "Below 1. A certificate: every assumption was verified or declared."),
        (slice(0, 3), "Below 1. A bound, not a certificate: 1 statement is assumed."),
        (slice(0, 4), "Below 1, but an assumption is violated: it bounds nothing."),
    ],
)
def test_the_verdict_follows_the_ledger(audit_report: Report, keep: slice, verdict: str):
    ledger = audit_report.bounds[2].assumptions[keep]
    bounds = [replace(audit_report.bounds[1], assumptions=ledger)]
    document = build_document(replace(audit_report, bounds=bounds))
    headline = next(section for section in document.sections if section.title == "Headline")
    assert headline.blocks[0].facts[-1].value == verdict


@given(st.text(alphabet="ab./_", min_size=1), st.integers(1, 20))
def test_a_folded_name_loses_nothing(name: str, width: int):
    lines = fold_name(name, width)
    assert "".join(lines) == name
    assert all(len(line) <= width for line in lines)


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=8), min_size=1), st.integers(8, 40))
def test_folded_prose_keeps_its_words(words: list[str], width: int):
    lines = fold_words(" ".join(words), width)
    assert " ".join(lines).split(" ") == words
    assert all(len(line) <= width for line in lines)


def test_unbroken_words_stay_together():
    assert fold_words(f"value {unbroken('1.3 × 10^5')}", 12) == ["value", "1.3 × 10^5"]
