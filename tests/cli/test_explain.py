"""``dlgen explain``: without torch, as text and as an envelope."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.cli.app import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def report(digits_mlp, tmp_path):
    path = tmp_path / "report.json"
    assert run("rademacher", digits_mlp, "--output", path).exit_code == 0
    return path


def test_it_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['dlgen', 'explain', 'rademacher.expected']\n"
        "from dlgen_cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'matplotlib', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_list_and_every_theorem_are_written():
    assert all(name in run("explain").stdout for name in THEOREMS)
    for name in THEOREMS:
        result = run("explain", name)
        assert result.exit_code == 0
        assert "## Proof" in result.stdout


def test_a_report_puts_the_numbers_in(report):
    result = run("explain", "rademacher.expected", "--report", report)
    assert "## Statement" in result.stdout
    assert "value      = complexity + deviation" in result.stdout
    assert "This is the value on the page" in result.stdout
    results = json.loads(run("explain", "--report", report, "--json").stdout)["results"]
    assert len(results["bounds"]) == 3
    for bound in results["bounds"]:
        assert bound["steps"][-1]["value"] == pytest.approx(bound["value"], rel=1e-9)


def test_what_cannot_be_explained_is_one_line_and_exit_2(report, tmp_path):
    for words in (
        ("no.such",),
        ("compression.stored", "--report", report),
        ("rademacher.expected", "--report", tmp_path / "nowhere.json"),
        ("rademacher.expected", "--format", "csv"),
    ):
        result = run("explain", *words)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
