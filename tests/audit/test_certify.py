"""Certificates of a run on digits: what is counted, and what is found to be violated."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import scipy.stats
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dlgen_cli import training
from dlgen_cli.checkpoints import open_checkpoint
from dlgen_cli.cli.app import app
from dlgen_cli.datasets import load_source
from dlgen_cli.evidence.samples import find_samples

HOLDOUT, OCCAM, GIBBS = "holdout.clopper_pearson", "compression.occam", "pac_bayes.kl"


def invoke(*words: str):
    return CliRunner().invoke(app, [str(word) for word in words])


def certify(checkpoint: Path, *words: str) -> dict:
    fast = ("--draws", "2000", "--b", "8")
    result = invoke("certify", checkpoint, "--data", "digits", "-q", "--json", *fast, *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def bound_of(report: dict, theorem: str) -> dict:
    return next(one for one in report["bounds"] if one["theorem"] == theorem)


def line_of(bound: dict, statement: str) -> dict:
    return next(one for one in bound["assumptions"] if statement in one["statement"])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "digits"
    recipe = training.make_recipe({"source": "digits", "holdout": 200, "seed": 2, "epochs": 40})
    training.run(recipe, path)
    return path


@pytest.fixture(scope="module")
def report(directory: Path) -> dict:
    return certify(directory, "--sigma", "0.2", "--sigma", "0.4")


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def outputs(directory: Path, images: torch.Tensor) -> torch.Tensor:
    weights = load_file(directory / "model.safetensors")
    x = images.flatten(1) / 8
    for index in range(3):
        x = x @ weights[f"layers.{index}.weight"].T
        x = x.relu() if index < 2 else x
    return x[:, :10]


def test_every_certificate_stands_in_the_report(report: dict):
    theorems = [one["theorem"] for one in report["results"]["certificates"]]
    assert theorems == [HOLDOUT, OCCAM, GIBBS]
    best = min(report["results"]["certificates"], key=lambda one: one["risk_upper"])
    assert report["results"]["best"] == best["theorem"] == report["headline"]["theorem"]
    assert report["headline"]["value"] == best["risk_upper"]
    assert report["headline"]["delta"] * 3 <= 0.05


def test_the_holdout_is_the_one_that_the_run_set_aside(directory: Path, report: dict):
    source = load_source("digits")
    held = load_file(directory / "labels.safetensors")["holdout_indices"]
    rows = torch.isin(source.indices, held)
    guesses = outputs(directory, source.train.images[rows]).argmax(1)
    wrong = int((guesses != source.train.labels[rows]).sum())
    bound = bound_of(report, HOLDOUT)
    assert (bound["terms"]["errors"], bound["terms"]["examples"]) == (wrong, 200)
    exact = scipy.stats.beta.ppf(1 - bound["terms"]["delta"], wrong + 1, 200 - wrong)
    assert bound["value"] >= exact - 1e-12
    assert bound["value"] == pytest.approx(exact, rel=1e-9)
    assert line_of(bound, "No example of the holdout")["status"] == "verified"


def test_the_sample_is_what_the_run_was_trained_on(directory: Path, report: dict):
    recorded = load_file(directory / "labels.safetensors")
    m = len(recorded["labels"])
    source = load_source("digits")
    rows = {index: row for row, index in enumerate(source.indices.tolist())}
    images = source.train.images[[rows[index] for index in recorded["indices"].tolist()]]
    wrong = int((outputs(directory, images).argmax(1) != recorded["labels"]).sum())
    assert report["results"]["sample_examples"] == m
    assert report["results"]["sample_error"] == wrong / m
    for theorem in (OCCAM, GIBBS):
        assert bound_of(report, theorem)["terms"]["examples"] == m


def test_the_shares_of_delta_add_up(report: dict):
    spent = 0.0
    for theorem in (HOLDOUT, OCCAM, GIBBS):
        terms = bound_of(report, theorem)["terms"]
        spent += terms["delta"] + terms.get("delta_monte_carlo", 0.0)
    assert spent <= 0.05
    assert spent == pytest.approx(0.05, rel=1e-12)


def test_the_risk_of_the_random_predictor_is_that_of_explicit_draws(directory: Path, report: dict):
    weights = load_file(directory / "model.safetensors")
    source = load_source("digits")
    recorded = load_file(directory / "labels.safetensors")
    rows = {index: row for row, index in enumerate(source.indices.tolist())}
    images = source.train.images[[rows[index] for index in recorded["indices"].tolist()]]
    row = next(one for one in bound_of(report, GIBBS)["terms"]["sigmas"] if one["sigma"] == 0.4)
    chance = torch.Generator().manual_seed(0)
    risks = []
    for _ in range(60):
        x = images.flatten(1) / 8
        for index in range(3):
            weight = weights[f"layers.{index}.weight"]
            x = x @ (weight + 0.4 * torch.randn(weight.shape, generator=chance)).T
            x = x.relu() if index < 2 else x
        risks.append(float((x[:, :10].argmax(1) != recorded["labels"]).double().mean()))
    mean = sum(risks) / len(risks)
    # 2,000 Bernoulli trials and 60 draws: three standard errors of each.
    assert row["empirical_risk"] == pytest.approx(mean, abs=3 * 0.0112 + 3 * 0.02)
    assert row["empirical_risk_upper"] > row["empirical_risk"]


def test_the_report_verifies(report: dict, tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert invoke("verify", path).exit_code == 0
    tampered = json.loads(json.dumps(report))
    bound_of(tampered, GIBBS)["terms"]["errors"] -= 1
    path.write_text(json.dumps(tampered))
    assert invoke("verify", path).exit_code == 1
    tampered = json.loads(json.dumps(report))
    tampered["results"]["verdict"] = "PAC-Bayes wins."
    path.write_text(json.dumps(tampered))
    assert invoke("verify", path).exit_code == 1
    for name in ("risk_upper", "examples"):
        tampered = json.loads(json.dumps(report))
        tampered["results"]["certificates"][0][name] *= 0.5
        path.write_text(json.dumps(tampered))
        assert invoke("verify", path).exit_code == 1


def test_a_training_example_in_the_holdout_withholds_the_certificate(copy: Path):
    labels = load_file(copy / "labels.safetensors")
    labels["holdout_hashes"][3] = labels["image_hashes"][11]
    save_file(labels, copy / "labels.safetensors")
    report = certify(copy)
    bound = bound_of(report, HOLDOUT)
    assert (bound["status"], bound["value"]) == ("not_applicable", None)
    line = line_of(bound, "No example of the holdout")
    assert line["status"] == "violated"
    assert "1 images of it are among the run's training images" in line["evidence"]
    assert report["headline"]["theorem"] != HOLDOUT


def test_an_anchor_trained_on_the_sample_withholds_the_certificate(directory: Path, tmp_path: Path):
    recipe = training.make_recipe({"source": "digits", "holdout": 200, "seed": 2, "epochs": 3})
    training.run(recipe, tmp_path / "anchor")
    report = certify(directory, "--anchors", str(tmp_path / "anchor"), "--sigma", "0.3")
    bound = bound_of(report, GIBBS)
    assert bound["status"] == "not_applicable"
    assert line_of(bound, "trained the anchor")["status"] == "violated"


def test_examples_that_trained_an_anchor_leave_the_sample(directory: Path, tmp_path: Path):
    recipe = training.make_recipe(
        {"source": "digits", "holdout": 200, "seed": 2, "epochs": 3, "m": 500}
    )
    training.run(recipe, tmp_path / "anchor")
    report = certify(directory, "--anchors", str(tmp_path / "anchor"), "--sigma", "0.3")
    bound = bound_of(report, GIBBS)
    assert bound["terms"]["examples"] == report["results"]["sample_examples"] - 500
    line = line_of(bound, "trained the anchor")
    assert line["status"] == "verified"
    assert "500 examples trained it and left the bound; 742 are in it" in line["evidence"]


def test_m_above_the_examples_used_withholds_the_certificate(directory: Path):
    report = certify(directory, "--m", "1300", "--sigma", "0.3")
    for theorem in (OCCAM, GIBBS):
        bound = bound_of(report, theorem)
        assert bound["status"] == "not_applicable"
        assert line_of(bound, "m is the number")["status"] == "violated"
    assert report["headline"]["theorem"] == HOLDOUT


def test_m_below_the_sample_is_refused(directory: Path):
    result = invoke("certify", directory, "--data", "digits", "--m", "1000")
    assert result.exit_code == 2
    assert "the sample in digits has 1242 examples" in result.stderr


def test_frozen_parameters_cost_nothing_and_must_equal_the_anchor(copy: Path):
    init = load_file(copy / "init.safetensors")
    model = load_file(copy / "model.safetensors")
    moved = {**init, "layers.2.weight": model["layers.2.weight"]}
    with safe_open(copy / "init.safetensors", framework="pt") as file:
        metadata = file.metadata()
    save_file(moved, copy / "init.safetensors", metadata)
    refused = invoke(
        "certify", copy, "--data", "digits", "--freeze", "layers.1.*", "--draws", "10", "--b", "8"
    )
    assert refused.exit_code == 2
    assert "layers.1.weight differs from the anchor" in refused.stderr
    report = certify(copy, "--freeze", "layers.2.*", "--sigma", "0.3")
    assert line_of(bound_of(report, GIBBS), "What is frozen")["status"] == "declared"
    terms = bound_of(report, GIBBS)["terms"]
    assert all("layers.2" not in str(row) for row in terms["anchors"][0].get("contributions", []))
    whole = certify(copy, "--sigma", "0.3")
    assert bound_of(whole, GIBBS)["terms"]["kl_nats"] == terms["kl_nats"]
    assert bound_of(whole, GIBBS)["terms"]["errors"] >= terms["errors"]


def test_relative_sigma_follows_the_anchors_scale(directory: Path):
    report = certify(directory, "--relative-sigma", "--sigma", "0.5")
    terms = bound_of(report, GIBBS)["terms"]
    init, model = (load_file(directory / f"{name}.safetensors") for name in ("init", "model"))
    expected = 0.0
    for name, anchor in init.items():
        deviation = 0.5 * anchor.double().square().mean().sqrt()
        moved = (model[name].double() - anchor.double()).square().sum()
        expected += float(moved / (2 * deviation**2))
    assert terms["kl_nats"] >= expected * (1 - 1e-12)
    assert terms["kl_nats"] == pytest.approx(expected, rel=1e-6)


def test_other_data_than_the_runs_are_refused(directory: Path, tmp_path: Path):
    from PIL import Image

    for split in ("train", "test"):
        for name in map(str, range(10)):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (8, 8), int(name)).save(tmp_path / split / name / "0.png")
    result = invoke("certify", directory, "--data", tmp_path)
    assert result.exit_code == 2
    assert "are not among the training images" in result.stderr


def test_a_run_on_random_images_has_no_sample_in_the_data(tmp_path: Path):
    recipe = training.make_recipe({"source": "digits", "dataset": "random", "epochs": 0, "m": 50})
    training.run(recipe, tmp_path / "run")
    result = invoke("certify", tmp_path / "run", "--data", "digits")
    assert result.exit_code == 2
    assert "50 of the 50 examples that trained this run were drawn at random" in result.stderr


def test_altered_labels_are_on_the_ledger(tmp_path: Path):
    recipe = training.make_recipe(
        {"source": "digits", "dataset": "mixed-adversarial", "epochs": 5, "m": 300}
    )
    training.run(recipe, tmp_path / "run")
    bound = bound_of(certify(tmp_path / "run", "--sigma", "0.3"), OCCAM)
    line = line_of(bound, "drawn independently")
    assert line["status"] == "assumed"
    assert "150 of 300 are" in line["evidence"]


@pytest.mark.parametrize(("command", "theorem"), [("pacbayes", GIBBS), ("compress-bound", OCCAM)])
def test_data_adds_the_certificate_to_its_command(directory: Path, command: str, theorem: str):
    words = ("--draws", "2000", "--sigma", "0.3") if command == "pacbayes" else ("--b", "8")
    result = invoke(command, directory, "--data", "digits", "-q", "--json", *words)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["headline"]["theorem"] == theorem
    assert bound_of(report, theorem)["value"] <= 1


def test_saved_draws_are_taken_up(directory: Path, tmp_path: Path):
    words = ("--sigma", "0.3", "--state", str(tmp_path / "draws.pt"))
    first = bound_of(certify(directory, *words), GIBBS)
    second = bound_of(certify(directory, *words), GIBBS)
    assert first == second
    (tmp_path / "draws.pt").write_bytes(b"nonsense")
    result = invoke("certify", directory, "--data", "digits", *words)
    assert result.exit_code == 2
    assert "holds no saved draws" in result.stderr


@pytest.fixture(scope="module")
def trained_anchor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("anchors") / "run"
    training.run(training.make_recipe({"source": "digits", "seed": 5, "epochs": 1}), path)
    return path


@pytest.mark.parametrize("how", ["copied", "renamed", "linked", "in place"])
def test_a_trained_anchor_is_known_wherever_it_lies(
    directory: Path, trained_anchor: Path, tmp_path: Path, how: str
):
    weights = trained_anchor / "model.safetensors"
    anchor = tmp_path / ("init.safetensors" if how == "renamed" else "anchor.safetensors")
    if how == "linked":
        anchor.symlink_to(weights)
    elif how == "in place":
        anchor = weights
    else:
        shutil.copy(weights, anchor)
    report = certify(directory, "--anchors", str(anchor), "--sigma", "0.3")
    for theorem in (GIBBS, "pac_bayes.anchors", "pac_bayes.mixture", "pac_bayes.pinsker"):
        bound = bound_of(report, theorem)
        assert (bound["status"], bound["value"]) == ("not_applicable", None)
        assert line_of(bound, "trained the anchor")["status"] == "violated"


def test_an_initialization_of_another_run_is_an_anchor(directory: Path, trained_anchor: Path):
    anchor = trained_anchor / "init.safetensors"
    bound = bound_of(certify(directory, "--anchors", str(anchor), "--sigma", "0.3"), GIBBS)
    assert bound["value"] is not None


def test_weights_of_another_run_are_refused(copy: Path, trained_anchor: Path):
    shutil.copy(trained_anchor / "model.safetensors", copy / "model.safetensors")
    result = invoke("certify", copy, "--data", "digits")
    assert result.exit_code == 2
    assert "records another run than the config.json beside it" in result.stderr


def test_examples_that_the_weights_do_not_record_are_refused(copy: Path):
    labels = load_file(copy / "labels.safetensors")
    swapped = labels["image_hashes"][0].clone()
    labels["image_hashes"][0] = labels["holdout_hashes"][0]
    labels["holdout_hashes"][0] = swapped
    save_file(labels, copy / "labels.safetensors")
    result = invoke("certify", copy, "--data", "digits")
    assert result.exit_code == 2
    assert "are not those that its weights record" in result.stderr


def test_a_file_outside_its_run_keeps_its_scale(directory: Path, tmp_path: Path):
    path = tmp_path / "lone.safetensors"
    shutil.copy(directory / "model.safetensors", path)
    samples = find_samples(open_checkpoint(path), "digits", None)
    assert samples.scale == find_samples(open_checkpoint(directory), "digits", None).scale == 0.125


def test_equal_images_in_the_holdout_keep_their_own_labels(tmp_path: Path):
    from PIL import Image

    for split, name in itertools.product(("train", "test"), "ab"):
        (tmp_path / "data" / split / name).mkdir(parents=True)
        for level in range(10):
            path = tmp_path / "data" / split / name / f"{level}.png"
            Image.new("L", (8, 8), level).save(path)
    source = str(tmp_path / "data")
    recipe = training.make_recipe(
        {"source": source, "architecture": "mlp", "epochs": 0, "holdout": 14, "m": 2}
    )
    training.run(recipe, tmp_path / "run")
    held = load_file(tmp_path / "run" / "labels.safetensors")["holdout_indices"]
    samples = find_samples(open_checkpoint(tmp_path / "run"), source, None)
    assert samples.holdout.labels.tolist() == (held // 10).tolist()


@pytest.mark.parametrize("share", ["0", "0.02", "1"])
def test_the_monte_carlo_step_takes_a_part_of_its_certificates_share(directory: Path, share: str):
    result = invoke("certify", directory, "--data", "digits", "--delta-monte-carlo", share)
    assert result.exit_code == 2
    assert "between 0 and the certificate's failure probability 0.0166667" in result.stderr
