"""The bounds stand in order: what holds first, then by size."""

from dataclasses import replace

import pytest

from dlgen_cli.records import Report
from dlgen_cli.render.document import build_document


def rows(report: Report):
    sections = build_document(report).sections
    (section,) = [one for one in sections if one.title == "Bounds, the best first"]
    table = section.blocks[0]
    return [row[0] for row in table.rows], [table.rows[index][0] for index in table.marked]


def test_the_best_bound_comes_first_and_the_headline_stands_out(audit_report: Report):
    names, marked = rows(audit_report)
    assert names == [
        "compression.occam",  # holds
        "rademacher.expected",
        "holdout.clopper_pearson",  # conditional
        "pac_bayes.mixture",  # vacuous
        "compression.stored",
        "rademacher.printed",  # not applicable
        "pac_bayes.anchors",
    ]
    assert marked == ["compression.occam"]


@pytest.mark.parametrize("size", [0.001, 0.6])
def test_a_smaller_value_never_outranks_a_better_status(audit_report: Report, size: float):
    bounds = [
        replace(bound, value=size, log10_value=-3.0) if bound.status == "conditional" else bound
        for bound in audit_report.bounds
    ]
    names, _ = rows(replace(audit_report, bounds=bounds))
    assert names.index("holdout.clopper_pearson") == 2
