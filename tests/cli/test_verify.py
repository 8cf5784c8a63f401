"""``dlgen verify``: streams, exit codes, the envelope."""

import json

import pytest
from typer.testing import CliRunner

from dlgen_cli.cli.app import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def report(digits_mlp, tmp_path):
    path = tmp_path / "report.json"
    assert run("rademacher", digits_mlp, "--output", path).exit_code == 0
    return path


def test_a_sound_report_matches(report):
    result = run("verify", report, "--json")
    assert result.exit_code == 0
    envelope = json.loads(result.stdout)
    assert envelope["command"] == "verify"
    assert envelope["results"]["verdict"] == "match"
    assert envelope["results"]["bounds"] == 3
    assert envelope["results"]["checked"] > 30
    assert envelope["results"]["mismatches"] == []


def test_a_tampered_report_fails_and_says_where(report):
    values = json.loads(report.read_text())
    values["bounds"][0]["value"] /= 2
    report.write_text(json.dumps(values))
    result = run("verify", report, "--json")
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)["results"]["mismatches"]
    assert row["where"] == "bounds[0].value"
    assert row["recomputed"] == 2 * row["recorded"]
    shown = run("verify", report)
    assert shown.exit_code == 1
    assert "bounds[0].value" in shown.stdout


def test_what_is_no_report_is_one_line_and_exit_2(digits_mlp, report, tmp_path):
    for path in (tmp_path / "nowhere.json", digits_mlp / "config.json", digits_mlp):
        result = run("verify", path)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
    assert run("verify", report, "--output", report).exit_code == 2
    json.loads(report.read_text())
