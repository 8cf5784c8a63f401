"""Whole trainings of a posterior: what is written, what it certifies, what is refused."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dlgen_cli.audit.certify import certify
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.posterior_file import holds_posterior
from dlgen_cli.datasets import hash_images, load_source
from dlgen_cli.errors import CheckpointError, TrainingError, UsageError
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.training import make_recipe, run
from dlgen_cli.training.posterior import train_posterior
from dlgen_cli.verification import verify

GIVEN = {"source": "digits", "device": "cpu", "epochs": 3, "batch_size": 100}


@pytest.fixture(scope="module")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on 500 of the digits."""
    directory = tmp_path_factory.mktemp("anchor") / "run"
    recipe = make_recipe({"source": "digits", "device": "cpu", "m": 500, "epochs": 60})
    run(recipe, directory)
    return directory


@pytest.fixture(scope="module")
def trained(anchor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A posterior over all of its weights."""
    directory = tmp_path_factory.mktemp("posterior") / "run"
    train_posterior(anchor, directory, GIVEN, {"trainable": ("*",)})
    return directory


def certificate(directory: Path):
    options = AuditOptions(checkpoint=directory, device="cpu")
    data = DataOptions(data="digits", draws=4000)
    return certify(options, data, layer_progress=lambda *_: None)


def test_examples_of_the_anchor_leave_and_are_recorded(anchor: Path, trained: Path):
    config = run_directory.read_config(trained)
    labels = run_directory.read_labels(trained)
    spent = run_directory.read_labels(anchor)["image_hashes"]
    pool = len(load_source("digits").train.labels)
    assert config["objective"] == "pac-bayes"
    assert config["anchor"]["origin"] == "run"
    assert config["anchor"]["examples"] == 500
    assert torch.equal(labels["anchor_hashes"], spent)
    assert config["examples"] == len(labels["labels"]) == pool - 500
    own = {row.tobytes() for row in labels["image_hashes"].numpy()}
    assert not own & {row.tobytes() for row in spent.numpy()}
    known = {row.tobytes() for row in hash_images(load_source("digits").train.images).numpy()}
    assert own <= known
    assert holds_posterior(trained)


def test_its_certificate_is_not_vacuous_and_pays_what_training_saw(trained: Path):
    report = certificate(trained)
    bound = next(one for one in report.bounds if one.theorem == "pac_bayes.posterior")
    assert bound.status == "holds"
    assert all(line.status != "violated" for line in bound.assumptions)
    assert bound.value is not None
    assert bound.value < 0.35
    last = run_directory.read_metrics(trained)[-1]
    own = bound.terms["kl_nats"] - bound.terms["choice_nats"]
    assert own == pytest.approx(last["kl_nats"], rel=1e-3, abs=1e-3)
    assert not verify(Fields(report_dict(report))).mismatches


def report_dict(report):
    import json

    from dlgen_cli.render import render_text

    return json.loads(render_text(report, "json"))


def test_the_recorded_errors_are_those_of_the_mean(trained: Path):
    report = certificate(trained)
    config = run_directory.read_config(trained)
    assert report.results["sample_error"] == config["train_error"]
    assert report.results["test_error"] == config["test_error"]


def test_same_settings_same_bytes(anchor: Path, trained: Path, tmp_path: Path):
    train_posterior(anchor, tmp_path / "again", GIVEN, {"trainable": ("*",)})
    for name in ("model.safetensors", "posterior.safetensors", "labels.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.parametrize("spread", ["entry", "factor"])
def test_learned_deviations_are_paid_for(anchor: Path, tmp_path: Path, spread: str):
    own = {"spread": spread, "trainable": ("layers.2.weight",)}
    train_posterior(anchor, tmp_path / "run", GIVEN, own)
    report = certificate(tmp_path / "run")
    bound = next(one for one in report.bounds if one.theorem == "pac_bayes.posterior")
    assert bound.terms["spread_nats_upper"] > 0
    last = run_directory.read_metrics(tmp_path / "run")[-1]
    assert bound.terms["kl_nats"] - bound.terms["choice_nats"] == pytest.approx(
        last["kl_nats"], rel=2e-3
    )


@pytest.mark.parametrize(
    ("given", "own", "message"),
    [
        ({"optimizer": "sgd"}, {}, "--optimizer was given"),
        ({"dataset": "random"}, {}, "random images are in no data"),
        ({"epochs": 0}, {}, "--epochs is 0"),
        ({}, {"spread": "wide"}, "--spread 'wide'"),
        ({}, {"trainable": ("head.*",)}, r"--trainable head.\* matches no coordinate"),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(
    anchor: Path, tmp_path: Path, given: dict, own: dict, message: str
):
    with pytest.raises(UsageError, match=message):
        train_posterior(anchor, tmp_path / "run", {**GIVEN, **given}, own)
    assert not list(tmp_path.iterdir())


def test_an_anchor_that_hides_its_examples_or_spent_them_all_is_refused(
    anchor: Path, tmp_path: Path
):
    lone = tmp_path / "model.safetensors"
    lone.write_bytes((anchor / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="records training on examples of"):
        train_posterior(lone, tmp_path / "run", GIVEN, {})
    whole = tmp_path / "whole"
    run(make_recipe({"source": "digits", "device": "cpu", "epochs": 1}), whole)
    with pytest.raises(UsageError, match="that it never saw were expected"):
        train_posterior(whole, tmp_path / "run", GIVEN, {})
    with pytest.raises(TrainingError, match="holds a finished run"):
        train_posterior(anchor, whole, GIVEN, {})
    run_directory.write_partial(tmp_path / "new", {})
    with pytest.raises(TrainingError, match="holds an unfinished run"):
        train_posterior(anchor, tmp_path / "new", GIVEN, {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objective", "margin"], "--objective 'margin' is unknown"),
        (["--objective", "pac-bayes"], "needs the prior's mean"),
        (
            ["--spread", "entry"],
            "--spread was given with --objective cross-entropy; it belongs to pac-bayes",
        ),
        (
            ["--objective", "pac-bayes", "--anchors", "a", "--resume"],
            "--resume was given with --objective pac-bayes",
        ),
    ],
)
def test_the_command_refuses_options_of_another_objective(words: list[str], message: str):
    from dlgen_cli.cli.app import app

    result = CliRunner().invoke(app, ["train", *words])
    assert isinstance(result.exception, UsageError | SystemExit)
    assert message in f"{result.exception} {result.output}".replace("\n", " ")
