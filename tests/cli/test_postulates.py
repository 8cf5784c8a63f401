"""``dlgen postulates`` as a user meets it: train, pick up, judge, draw."""

import json
import shutil
from pathlib import Path

import pytest
import scipy.stats
from typer.testing import CliRunner

from dlgen_cli import training
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.cli.app import app
from dlgen_cli.errors import DataError
from dlgen_cli.postulates import JUDGED, read_runs

OPTIONS = ("--source", "digits", "--epochs", "4", "--m", "200", "--seed", "3")


def invoke(*words: str):
    return CliRunner().invoke(app, ["postulates", *words])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("postulates") / "runs"
    result = invoke(*OPTIONS, "--json", "--out", str(directory))
    assert result.exit_code == 0, result.output
    return directory, json.loads(result.stdout), result.stderr


@pytest.fixture
def copy(finished, tmp_path: Path):
    return Path(shutil.copytree(finished[0], tmp_path / "copy"))


def test_the_envelope_holds_runs_and_verdicts(finished):
    directory, report, _ = finished
    results = report["results"]
    assert report["command"] == "postulates"
    assert [run["dataset"] for run in results["runs"]] == list(JUDGED)
    assert [verdict["postulate"] for verdict in results["verdicts"]] == [1, 2, 3, 4]
    for run in results["runs"]:
        config = run_directory.read_config(directory / run["dataset"])
        assert run["examples"] == config["examples"] == 200
        assert run["parameters"] == config["counts"]["parameters"]
        assert run["train_error"] == config["train_error"]
        assert run["test_error"] == config["test_error"]
        assert run["epochs"] == config["epochs"]
        curve = results["curves"][run["dataset"]]
        assert curve["epochs"] == list(range(config["epochs"] + 1))
        assert curve["test_error"][-1] == run["test_error"]


def test_what_was_written_is_named(finished):
    directory, _, told = finished
    assert f"Pages and curves in {directory}: curves.png, curves.svg, report.html, rep" in told
    assert all((directory / name).is_file() for name in ("curves.png", "report.html"))


def test_the_intervals_are_those_of_clopper_and_pearson(finished):
    for run in finished[1]["results"]["runs"]:
        wrong = round(run["test_error"] * 355)
        exact = scipy.stats.binomtest(wrong, 355).proportion_ci(1 - 0.05 / 4, method="exact")
        assert run["test_error_lower"] == pytest.approx(exact.low, abs=1e-9)
        assert run["test_error_upper"] == pytest.approx(exact.high, abs=1e-9)
        assert run["test_error_upper"] >= exact.high - 1e-12


def test_curves_and_pages_stand_beside_the_runs(finished):
    directory, report, _ = finished
    assert (directory / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "mixed-adversarial" in (directory / "curves.svg").read_text()
    page = (directory / "report.html").read_text()
    assert "<svg" in page
    assert "http" not in page.split("<svg")[0]
    assert json.loads((directory / "report.json").read_text()) == report


def test_finished_runs_are_picked_up_and_nothing_is_trained(finished, monkeypatch):
    directory, report, _ = finished
    monkeypatch.setattr(training, "run", None)
    monkeypatch.setattr(training, "resume", None)
    result = invoke("--json", "--out", str(directory))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["results"] == report["results"]
    assert result.stderr.count("taken from") == 4


def test_an_unfinished_run_goes_on_and_a_missing_one_is_trained(copy: Path, finished):
    shutil.rmtree(copy / "random")
    (copy / "standard").rename(copy / "standard.partial")
    result = invoke(*OPTIONS, "--json", "--out", str(copy))
    assert result.exit_code == 0, result.output
    assert "standard: going on" in result.stderr
    assert "random: training" in result.stderr
    ours = json.loads(result.stdout)["results"]
    assert ours == finished[1]["results"]


def test_other_settings_than_those_of_a_finished_run_are_refused(copy: Path):
    result = invoke("--source", "digits", "--seed", "4", "--out", str(copy))
    assert result.exit_code == 2
    assert "--seed 3, not 4" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_runs_that_differ_in_more_than_their_labels_are_refused(copy: Path):
    shutil.rmtree(copy / "random")
    recipe = training.make_recipe(
        {"source": "digits", "dataset": "random", "m": 199, "epochs": 1, "device": "cpu"}
    )
    training.run(recipe, copy / "random")
    with pytest.raises(DataError, match="examples is 199 in random and 200 in standard"):
        read_runs([copy], 0.05)


def test_a_run_of_another_regime_is_refused(copy: Path):
    shutil.rmtree(copy / "random")
    shutil.copytree(copy / "standard", copy / "random")
    with pytest.raises(DataError, match="run random was trained on standard"):
        read_runs([copy], 0.05)


def test_the_table_at_80_columns(finished):
    result = invoke("-q", "--out", str(finished[0]))
    assert max(map(len, result.stdout.splitlines())) <= 80
    for regime in JUDGED:
        assert regime in result.stdout
    assert "1 " in result.stdout
    assert result.stdout.count("Rule: ") == 4


def test_several_seeds_stand_side_by_side(tmp_path: Path):
    folder = tmp_path / "runs"
    short = ("--source", "digits", "--epochs", "1", "--m", "60", "-q")
    result = invoke(*short, "--seeds", "4,1", "--json", "--out", str(folder))
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)["results"]
    assert [(run["seed"], run["dataset"]) for run in results["runs"]] == [
        (seed, regime) for seed in (4, 1) for regime in JUDGED
    ]
    for row in results["over_seeds"]:
        errors = [one["test_error"] for one in results["runs"] if one["dataset"] == row["dataset"]]
        assert (row["test_error"]["lowest"], row["test_error"]["highest"]) == (
            min(errors),
            max(errors),
        )
    again = invoke("-q", "--out", str(folder))  # picks up what is there
    assert again.exit_code == 0, again.output
    assert "Over the seeds" in again.stdout


@pytest.mark.parametrize("seeds", ["1,1", "a", "", "1,-2"])
def test_odd_seeds_are_refused_before_training(tmp_path: Path, seeds: str):
    result = invoke("--source", "digits", "--seeds", seeds, "--out", str(tmp_path / "runs"))
    assert result.exit_code == 2
    assert "whole numbers" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_delta_out_of_range_is_refused_before_training(tmp_path: Path):
    result = invoke(*OPTIONS, "--delta", "0", "--out", str(tmp_path / "runs"))
    assert result.exit_code == 2
    assert not (tmp_path / "runs").exists()
