"""``dlgen train`` from its options to its streams."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from dlgen_cli import training
from dlgen_cli.cli.command import as_command
from dlgen_cli.cli.objectives import TrainCommand
from dlgen_cli.cli.train import train


def invoke(*words: str) -> Result:
    app = typer.Typer()
    app.command()(as_command(train, TrainCommand))
    return CliRunner().invoke(app, list(words))


def test_the_report_is_json_on_stdout(tmp_path: Path):
    result = invoke("--source", "digits", "--epochs", "2", "--out", str(tmp_path / "a"), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["command"] == "train"
    assert report["status"] == "success"
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    results = report["results"]
    assert results["directory"] == str(tmp_path / "a")
    assert results["epochs"] == 2
    assert results["images_per_second"] > 0
    assert (results["train_error"], results["test_error"]) == (
        config["train_error"],
        config["test_error"],
    )
    assert report["settings"]["dataset"] == "standard"
    assert f"Certify it with: dlgen certify {tmp_path / 'a'} --data digits\n" in result.stderr


def test_resume_takes_the_saved_settings_and_says_when_nothing_is_left(tmp_path: Path):
    out = str(tmp_path / "a")
    invoke("--source", "digits", "--dataset", "random", "--epochs", "1", "--out", out, "--json")
    result = invoke("--resume", "--epochs", "3", "--out", out, "--json")
    report = json.loads(result.stdout)
    assert report["results"]["epochs"] == 3
    assert report["settings"]["dataset"] == "random"
    assert "Certify it" not in result.stderr  # its images are in no data
    again = invoke("--resume", "--out", out, "--json")
    assert again.exit_code == 0
    assert "Nothing was left to do: all 3 epochs were run" in again.stderr
    assert json.loads(again.stdout)["results"]["images_per_second"] is None


def test_an_interruption_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = training.run

    def interrupted(*arguments: Any, **options: Any) -> None:
        def interrupt(_: training.Progress) -> None:
            raise KeyboardInterrupt

        run(*arguments, **options | {"progress": interrupt})

    monkeypatch.setattr(training, "run", interrupted)
    result = invoke("--source", "digits", "--out", str(tmp_path / "a"))
    assert result.exit_code == 130
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"dlgen train --resume --save {tmp_path / 'a'}" in result.stderr


def test_an_early_interruption_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run", interrupted)
    result = invoke("--source", "digits", "--out", str(tmp_path / "a"))
    assert result.exit_code == 130
    assert "nothing was kept" in result.stderr


def test_the_default_directory_names_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("--source", "digits", "--epochs", "0", "--seed", "7", "--json")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "runs" / "digits-mlp-standard-7" / "model.safetensors").is_file()


def test_the_defaults_in_the_help_are_those_in_force():
    application = typer.Typer()
    application.command()(as_command(train, TrainCommand))
    shown = {one.name: one.show_default for one in typer.main.get_command(application).params}
    recipe = training.make_recipe({"source": "digits"})
    sgd = training.make_recipe({"source": "digits", "optimizer": "sgd"})
    for name in (
        "dataset",
        "optimizer",
        "batch_size",
        "holdout",
        "adversary",
        "seed",
        "device",
    ):
        assert shown[name] == str(getattr(recipe, name))
    assert shown["until_train_error"] == f"{recipe.until_train_error:g}"
    large = training.make_recipe({})
    assert shown["epochs"] == f"{large.epochs}, mlp {recipe.epochs}"
    assert shown["lr"] == (
        f"adam {large.learning_rate:g} (mlp {recipe.learning_rate:g}), sgd {sgd.learning_rate:g}"
    )
    assert shown["stem"] == large.stem
    assert shown["schedule"] == recipe.schedule
    assert shown["source"] == training.Recipe.__dataclass_fields__["source"].default
    assert shown["arch"] == "mlp for digits, linear for features, else mobilenet_v2"
    head = training.make_recipe({"features": ["a.npz"], "architecture": "dense"})
    assert shown["width"] == f"mlp {recipe.width}, dense {head.width}"
    assert shown["depth"] == f"mlp {recipe.depth}, dense {head.depth}"
    linear = training.make_recipe({"features": ["a.npz"]})
    assert (linear.architecture, linear.normalization) == ("linear", shown["normalize"])
