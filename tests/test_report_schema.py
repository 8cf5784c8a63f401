"""Every command's JSON is what docs/report.schema.json says."""

import copy
import json
from pathlib import Path

import fastjsonschema
import pytest
from reports import SCHEMA, VALIDATE
from typer.testing import CliRunner

from dlgen_cli.cli.app import app

ROOT = Path(__file__).parents[1]


def run(*words):
    return json.loads(CliRunner().invoke(app, [*map(str, words), "--json"]).stdout)


COMMANDS = [
    ("spectra", "CKPT", "--r", "4", "--singular-values"),
    ("spectra", "CKPT", "--against", "CKPT/init.safetensors"),
    ("spectra", "CKPT", "CKPT/init.safetensors"),
    ("compress-bound", "CKPT", "--data", "digits", "--b", "8"),
    ("pacbayes", "CKPT", "--sigma", "0.5"),
    ("rademacher", "CKPT"),
    ("audit", "CKPT", "--r", "8"),
    ("certify", "CKPT", "--data", "digits", "--draws", "200"),
    ("certify", "--errors", "3", "--examples", "100"),
    ("compress", "CKPT", "--b", "8", "--save", "TMP/small.safetensors"),
    ("anchors", "CKPT", "--initial", "--save", "TMP/anchor.safetensors"),
    ("train", "--data", "digits", "--epochs", "1", "--save", "TMP/run"),
    ("postulates", "--data", "digits", "--epochs", "1", "--save", "TMP/runs"),
    ("implicit", "linear", "--points", "5", "--dim", "9"),
    ("implicit", "matrix", "--spectrum", "3,1", "--epsilon", "0.1"),
    ("explain", "vacuous"),
    ("audit", "nowhere.safetensors"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_keeps_to_the_schema(words, digits_mlp, tmp_path):
    typed = [word.replace("CKPT", str(digits_mlp)).replace("TMP", str(tmp_path)) for word in words]
    report = run(*typed)
    VALIDATE(report)
    assert report["status"] == ("error" if "nowhere" in words[-1] else "success")


def test_verify_and_explain_with_a_report_keep_to_the_schema(digits_mlp, tmp_path):
    saved = tmp_path / "report.json"
    saved.write_text(json.dumps(run("rademacher", digits_mlp)))
    VALIDATE(run("verify", saved))
    VALIDATE(run("explain", "--report", saved))


def test_every_command_is_held_to_it():
    held = {words[0] for words in COMMANDS} | {"verify", "demo"}  # held in its own test
    named = {one.name for one in (*app.registered_commands, *app.registered_groups)}
    assert held == named - {"help", "version"}


@pytest.mark.parametrize("command", SCHEMA["definitions"]["results"])
def test_results_without_what_they_must_hold_are_refused(command, digits_mlp):
    report = run("rademacher", digits_mlp)
    report["command"] = command.replace("_", " ")
    report["results"] = {name: [0] for name in ("series", "against", "best", "verdicts")}
    with pytest.raises(fastjsonschema.JsonSchemaException, match="results"):
        VALIDATE(report)


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
