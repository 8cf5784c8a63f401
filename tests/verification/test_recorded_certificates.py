"""Recorded reports verify with this version: those of the first schema, and the benchmarks' own."""

import json

import pytest

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification import read_report, verify


def holds_bounds(values):
    return isinstance(values, dict) and bool(values.get("bounds"))


def pytest_generate_tests(metafunc):
    root = metafunc.config.rootpath
    folders = (root / "benchmarks" / "results", root / "tests" / "verification" / "schema_1")
    reports = [
        one
        for folder in folders
        for one in sorted(folder.rglob("*.json"))
        if holds_bounds(json.loads(one.read_text("utf-8")))
    ]
    metafunc.parametrize("report", reports, ids=lambda path: path.stem)


def test_a_recorded_certificate_verifies(report):
    if report.parent.name == "schema_1":
        assert json.loads(report.read_text("utf-8"))["schema_version"] == "1"
    found = verify(read_report(report))
    assert found.bounds >= 1
    assert found.checked > 20
    assert found.mismatches == ()


@pytest.mark.parametrize("field", ["value", "log10_value"])
def test_a_value_of_a_recorded_certificate_counts(report, field):
    values = json.loads(report.read_text("utf-8"))
    values["bounds"][0][field] -= 1e-9
    assert f"bounds[0].{field}" in [one.where for one in verify(Fields(values)).mismatches]
