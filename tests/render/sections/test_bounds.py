"""The verdict follows the ledger."""

from dataclasses import replace

import pytest

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document


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
