"""Every command's JSON is what docs/report.schema.json says."""

import copy
import json
from pathlib import Path

import fastjsonschema
import pytest
from typer.testing import CliRunner

from dlgen_cli.cli.app import app

ROOT = Path(__file__).parents[1]
VALIDATE = fastjsonschema.compile(json.loads((ROOT / "docs/report.schema.json").read_text()))


def run(*words):
    return json.loads(CliRunner().invoke(app, [*map(str, words), "--json"]).stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("spectra", "CKPT", "--r", "4", "--singular-values"),
        ("spectra", "CKPT", "--against", "CKPT/init.safetensors"),
        ("audit", "CKPT", "--r", "8"),
        ("certify", "CKPT", "--data", "digits", "--draws", "200"),
        ("rademacher", "CKPT"),
        ("explain", "vacuous"),
        ("implicit", "linear", "--points", "5", "--dim", "9"),
        ("audit", "nowhere.safetensors"),
    ],
    ids=" ".join,
)
def test_a_command_keeps_to_the_schema(words, digits_mlp):
    VALIDATE(run(*(word.replace("CKPT", str(digits_mlp)) for word in words)))


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((ROOT / "benchmarks/results/certificates").glob("*.json"))
        if '"schema_version"' in path.read_text()
    ],
    ids=lambda path: path.stem,
)
def test_reports_on_record_keep_to_the_schema(path):
    VALIDATE(json.loads(path.read_text()))


def test_what_is_no_report_is_refused(digits_mlp):
    sound = run("rademacher", digits_mlp)
    for change in (
        lambda report: report.pop("settings"),
        lambda report: report.update(status="fine"),
        lambda report: report["bounds"][0].update(value="0.1"),
        lambda report: report["bounds"][0]["terms"].pop("shell"),
        lambda report: report["errors"].append({"code": "usage", "message": "", "remedy": ""}),
    ):
        changed = copy.deepcopy(sound)
        change(changed)
        with pytest.raises(fastjsonschema.JsonSchemaException):
            VALIDATE(changed)
