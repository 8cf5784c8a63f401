"""A run on random labels, end to end: what its own errors refute."""

import json

import pytest
from typer.testing import CliRunner

from dlgen_cli import training
from dlgen_cli.cli.app import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_run_on_random_labels_refutes_the_shells(tmp_path):
    recipe = training.make_recipe(
        {"source": "digits", "dataset": "random", "epochs": 60, "m": 60, "clip_linf": 0.5}
    )
    training.run(recipe, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["train_error"] < 0.2
    result = run("audit", tmp_path / "run", "--m", "60", "--json")
    report = json.loads(result.stdout)
    bounds = {one["theorem"]: one for one in report["bounds"]}
    bound = bounds["rademacher.expected"]
    assert bound["value"] < 0.6
    assert bound["status"] == "refuted"
    least = bound["terms"]["refuted_by"]["at_least"]
    assert least == pytest.approx(0.9 - config["train_error"])
    (tmp_path / "report.json").write_text(result.stdout)
    assert run("verify", tmp_path / "report.json").exit_code == 0
    report["provenance"]["recorded_errors"]["dataset"] = "standard"
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert run("verify", tmp_path / "report.json").exit_code == 1
    assert "refuted by the errors on record" in run("audit", tmp_path / "run").stdout
