"""``dlgen implicit`` as a user meets it: streams, exit codes, the envelope."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from dlgen_cli.cli.app import DlgenGroup
from dlgen_cli.cli.implicit import implicit_app

LINEAR_KEYS = {
    "norm_run",
    "norm_theory",
    "norm_minimum",
    "norm_perpendicular",
    "suboptimality",
    "bound",
    "in_span",
}
MATRIX_KEYS = {"times", "theory", "run", "takeoff_predicted", "takeoff_measured"}


@pytest.fixture
def dlgen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    app = typer.Typer(cls=DlgenGroup, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.add_typer(implicit_app, name="implicit")
    runner = CliRunner()
    return lambda *words: runner.invoke(app, ["implicit", *map(str, words)])


def results(outcome):
    assert outcome.exit_code == 0, outcome.stderr
    envelope = json.loads(outcome.stdout)
    assert envelope["status"] == "success"
    return envelope["results"]


def test_linear_envelope(dlgen):
    outcome = dlgen("linear", "--json")
    assert outcome.stderr == ""
    envelope = json.loads(outcome.stdout)
    assert envelope["command"] == "implicit linear"
    assert envelope["settings"]["points"] == 20
    found = envelope["results"]
    assert set(found) >= LINEAR_KEYS
    assert found["in_span"] is True
    assert found["identity_residual"] < 1e-9
    assert "optimizers" not in found


def test_linear_with_several_optimizers(dlgen):
    words = ["--init", "gaussian", "--optimizer", "gd,adam", "--optimizer", "sgd"]
    found = results(dlgen("linear", *words, "--json"))
    assert [row["optimizer"] for row in found["optimizers"]] == ["gd", "adam", "sgd"]
    assert [row["theorem_applied"] for row in found["optimizers"]] == [True, False, True]
    assert found["norm_run"] == found["optimizers"][0]["norm_run"]
    left, right = found["identity_run"], found["identity_theory"]
    assert left == pytest.approx(right, rel=1e-9)


@pytest.mark.parametrize("command", ["linear", "matrix"])
@pytest.mark.parametrize("choice", ["table", "markdown", "html", "csv"])
def test_every_format(dlgen, command, choice):
    outcome = dlgen(command, "--format", choice)
    assert outcome.exit_code == 0
    assert "prescribed spectrum" in outcome.stdout or "kept to the span" in outcome.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["linear", "--init", "gaussian", "--optimizer", "gd,sgd,momentum,adam,sign"],
        ["matrix"],
        ["matrix", "--depth", "1,2,3", "--dim", "10,8"],
    ],
)
def test_tables_fit_eighty_columns(dlgen, words):
    outcome = dlgen(*words)
    assert outcome.exit_code == 0
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    assert "bound" in outcome.stdout or "takeoffs:" in outcome.stdout


def test_linear_reads_a_file(dlgen, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("3,4,25\n")
    found = results(dlgen("linear", path, "--json"))
    assert found["norm_run"] == pytest.approx(5.0)


def test_linear_from_a_start_in_a_file(dlgen, tmp_path):
    (tmp_path / "data.csv").write_text("3,4,25\n")
    np.savez(tmp_path / "w.npz", w=np.array([10.0, 5.0]))
    found = results(dlgen("linear", tmp_path / "data.csv", "--init", tmp_path / "w.npz", "--json"))
    assert found["norm_run"] == pytest.approx(50**0.5)
    assert found["norm_perpendicular"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["linear", "--optimizer", "newton"], "--optimizer 'newton'"),
        (["linear", "--precondition", "x"], "--precondition 'x'"),
        (["linear", "--lr", "0"], "--lr 0"),
        (["linear", "--lr", "100"], "diverged"),
        (["linear", "--steps", "0"], "--steps 0"),
        (["linear", "--seed", "-1"], "--seed -1"),
        (["linear", "--points", "0"], "--points 0"),
        (["linear", "missing.npz"], "missing.npz cannot be read"),
        (["linear", "missing.npz", "--points", "3"], "--points and a file"),
        (["linear", "--plot", "a.txt"], ".txt"),
        (["matrix", "--depth", "0"], "--depth 0"),
        (["matrix", "--depth", "1,x"], "--depth x"),
        (["matrix", "--epsilon", "0"], "--epsilon 0"),
        (["matrix", "--epsilon", "nan"], "--epsilon nan"),
        (["matrix", "--time", "-1"], "--time -1"),
        (["matrix", "--step", "99"], "unstable"),
        (["matrix", "--spectrum", "x"], "--spectrum x"),
        (["matrix", "--target", "a.npy", "--dim", "3"], "--target and"),
        (["matrix", "--target", "missing.npy"], "missing.npy cannot be read"),
        (["matrix", "--target", "missing.pt:w"], "missing.pt cannot be read"),
        (["matrix", "--animate", "a.png"], ".gif"),
        (["matrix", "--format", "json", "--depth", "y"], "--depth y"),
    ],
)
def test_bad_usage_is_one_line_and_exit_two(dlgen, words, message):
    outcome = dlgen(*words)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1
    if "json" not in words:
        assert outcome.stdout == ""


def test_inconsistent_data_is_exit_two(dlgen, tmp_path):
    path = tmp_path / "twins.csv"
    path.write_text("1,0,1\n1,0,2\n")
    outcome = dlgen("linear", path, "--json")
    assert outcome.exit_code == 2
    assert json.loads(outcome.stdout)["errors"][0]["code"] == "data"
    assert "inconsistent" in outcome.stderr


def test_matrix_envelope(dlgen):
    outcome = dlgen("matrix", "--spectrum", "3,1", "--json")
    assert outcome.stderr == ""
    envelope = json.loads(outcome.stdout)
    assert envelope["command"] == "implicit matrix"
    found = envelope["results"]
    assert set(found) >= MATRIX_KEYS
    assert found["spectrum"] == [3.0, 1.0]
    assert len(found["theory"]) == len(found["run"]) == len(found["times"])
    for told, seen in zip(found["takeoff_predicted"], found["takeoff_measured"], strict=True):
        assert seen == pytest.approx(told, rel=0.02)
    assert found["largest_deviation_relative"] < 0.02


def test_matrix_of_several_depths_keeps_all_curves_in_json(dlgen):
    found = results(dlgen("matrix", "--depth", "1,2", "--depth", "3", "--json"))
    assert [row["depth"] for row in found["depths"]] == [1, 2, 3]
    assert all(set(row) >= MATRIX_KEYS for row in found["depths"])
    assert found["run"] == found["depths"][0]["run"]


def test_matrix_takes_a_tensor_of_a_checkpoint(dlgen, tmp_path):
    path = tmp_path / "ckpt.safetensors"
    weight = torch.diag(torch.tensor([4.0, 2.0]))
    save_file({"layer.weight": weight, "layer.bias": torch.ones(2), "b": torch.eye(2)}, path)
    found = results(dlgen("matrix", "--target", f"{path}:layer.weight", "--json"))
    assert found["spectrum"] == pytest.approx([4.0, 2.0])
    for name in ("", ":none", ":layer.bias"):
        outcome = dlgen("matrix", "--target", f"{path}{name}")
        assert outcome.exit_code == 2
        assert len(outcome.stderr.strip().splitlines()) == 1


def test_matrix_takes_the_only_matrix_of_a_checkpoint(dlgen, tmp_path):
    torch.save({"layer.weight": 2 * torch.eye(3)}, tmp_path / "ckpt.pt")
    found = results(dlgen("matrix", "--target", tmp_path / "ckpt.pt", "--json"))
    assert found["spectrum"] == pytest.approx([2.0, 2.0, 2.0])


def test_an_unaligned_run_claims_no_expected_deviation(dlgen):
    found = results(dlgen("matrix", "--unaligned", "--spectrum", "3,1", "--json"))
    assert found["aligned"] is False
    assert found["largest_deviation_expected"] is None


def test_a_start_above_half_the_targets_has_no_takeoff(dlgen):
    found = results(dlgen("matrix", "--epsilon", "2", "--spectrum", "3,1", "--json"))
    assert found["takeoff_predicted"] == found["takeoff_measured"] == [None, None]


def test_a_run_without_takeoff_warns_on_stderr(dlgen):
    outcome = dlgen("matrix", "--time", "1", "--json")
    assert "no singular value takes off before" in outcome.stderr
    assert results(outcome)["takeoff_measured"] == [None, None, None]


def test_plots_are_written(dlgen, tmp_path):
    for suffix in (".png", ".svg"):
        assert dlgen("linear", "--plot", tmp_path / f"a{suffix}").exit_code == 0
        assert dlgen("matrix", "--plot", tmp_path / f"b{suffix}").exit_code == 0
    assert dlgen("matrix", "--time", "5", "--animate", tmp_path / "c.gif").exit_code == 0
    assert len(list(tmp_path.iterdir())) == 5


def test_the_same_seed_gives_the_same_bytes(dlgen):
    words = ["linear", "--optimizer", "sgd", "--init", "gaussian", "--json"]
    assert dlgen(*words).stdout == dlgen(*words).stdout
    assert dlgen(*words).stdout != dlgen(*words, "--seed", "1").stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys, dlgen_cli.cli.implicit; "
        "print([n for n in ('torch', 'numpy', 'scipy', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
