"""The demo: trains, audits, prints one page, leaves nothing behind unless asked."""

import json

from reports import VALIDATE
from typer.testing import CliRunner

from dlgen_cli.cli.app import app


def test_the_demo_trains_and_audits(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--json", "-q", "--out", str(tmp_path / "kept")])
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    VALIDATE(report)
    assert report["command"] == "demo"
    assert report["results"]["train_error"] == 0
    assert report["results"]["test_error"] < 0.1
    families = {bound["theorem"].split(".")[0] for bound in report["bounds"]}
    assert families == {"compression", "holdout", "pac_bayes", "rademacher"}
    best = {one["theorem"]: one["risk_upper"] for one in report["results"]["certificates"]}
    assert report["results"]["best"] == min(best, key=best.__getitem__)
    assert report["results"]["test_error"] < best["holdout.clopper_pearson"] < 0.15
    assert (tmp_path / "kept" / "model.safetensors").is_file()
    (tmp_path / "report.json").write_text(result.stdout)
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "report.json")]).exit_code == 0
