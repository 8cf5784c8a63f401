"""Reports as CSV: rectangular, a row for each bound or layer."""

import csv
import io
from dataclasses import replace

from dlgen_cli.records import Report
from dlgen_cli.render import render_text


def test_csv_is_rectangular(any_report: Report):
    rows = list(csv.reader(io.StringIO(render_text(any_report, "csv"))))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) >= 2


def test_csv_has_a_row_for_each_bound(audit_report: Report):
    rows = list(csv.DictReader(io.StringIO(render_text(audit_report, "csv"))))
    assert [row["theorem"] for row in rows] == [bound.theorem for bound in audit_report.bounds]
    assert list(rows[0])[:6] == ["theorem", "status", "value", "log10_value", "delta", "headline"]
    assert [row["headline"] for row in rows].count("yes") == 1
    assert rows[0]["value"] == ""
    assert float(rows[0]["log10_value"]) == 3699.1139
    assert rows[0]["delta"] == "0.05"
    assert rows[0]["term.bits"] == "123456"


def test_csv_of_a_report_without_bounds_has_layers_and_what_was_skipped(audit_report: Report):
    report = replace(audit_report, bounds=[], headline=None)
    rows = list(csv.DictReader(io.StringIO(render_text(report, "csv"))))
    assert len(rows) == 53 + 30
    assert rows[0]["shape"] == "96x16x3x3"
    assert rows[-1]["skipped"] == "an integer counter, not a parameter"
