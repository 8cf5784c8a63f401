"""The demo: a story from training to a certificate, whose files stay where it says."""

import json
import re
from pathlib import Path

import pytest
from reports import VALIDATE
from typer.testing import CliRunner

from dlgen_cli.cli.app import app


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory):
    """The folder that it ran in, which held one of the name that it takes, and what it said."""
    where = tmp_path_factory.mktemp("demo")
    (where / "dlgen-demo").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        result = CliRunner().invoke(app, ["demo", "--json"])
    assert result.exit_code == 0, result.output
    return where, json.loads(result.stdout), result.stderr


def test_it_ends_with_a_certificate_from_training_examples_alone(told):
    _, report, _ = told
    VALIDATE(report)
    assert report["command"] == "demo"
    results = report["results"]
    assert results["train_error"] == 0
    assert results["test_error"] < 0.1
    assert results["audit"]["status"] == "vacuous"
    values = {bound["theorem"]: bound for bound in report["bounds"]}
    assert results["sample_error"] < values["pac_bayes.posterior"]["value"] < 0.1
    assert values["pac_bayes.posterior"]["status"] == "holds"
    assert values["pac_bayes.posterior"]["terms"]["examples"] == results["sample_examples"] == 842
    assert values["holdout.clopper_pearson"]["terms"]["examples"] == 355


def test_its_files_stay_where_it_says_and_verify(told, monkeypatch: pytest.MonkeyPatch):
    where, report, stderr = told
    assert report["results"]["directory"] == "dlgen-demo-2"
    assert not list((where / "dlgen-demo").iterdir())
    monkeypatch.chdir(where)
    paths = {Path(one) for one in re.findall(r"dlgen-demo-2/[\w./]*\w", stderr)}
    assert {one.name for one in paths} == {"report.html", "report.json", "usual", "certified"}
    assert all(one.exists() for one in paths)
    assert json.loads((where / "dlgen-demo-2/report.json").read_text()) == report
    assert 'class="card good"' in (where / "dlgen-demo-2/report.html").read_text()
    verified = CliRunner().invoke(app, ["verify", "dlgen-demo-2/report.json"])
    assert verified.exit_code == 0, verified.stdout


def test_the_story_is_told_in_its_order_with_the_numbers(told):
    _, report, stderr = told
    text = " ".join(stderr.split())
    places = [text.index(f"{number}. ") for number in range(1, 5)]
    assert places == sorted(places)
    assert "wrong on 0 % of them" in text
    assert "never above 1: vacuous" in text
    bound = next(one for one in report["bounds"] if one["theorem"] == "pac_bayes.posterior")
    (said,) = re.findall(r"wrong on at most ([\d.]+) % of new digits", text)
    assert bound["value"] <= float(said) / 100 <= bound["value"] + 0.001
    assert text.index("With a checkpoint of your own") < text.index("dlgen audit MODEL")


def test_a_folder_that_is_taken_is_refused_before_any_work(told, monkeypatch: pytest.MonkeyPatch):
    where = told[0]
    monkeypatch.chdir(where)
    result = CliRunner().invoke(app, ["demo", "--save", "dlgen-demo-2"])
    assert result.exit_code == 2
    assert "dlgen-demo-2" in result.stderr
    assert "1. Train" not in result.stderr
