"""Certificates of trained posteriors on digits: what is paid, drawn, and found to be violated."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from run_files import bind
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dlgen_cli.checkpoints.runs import posterior_file as posterior
from dlgen_cli.checkpoints.runs.posterior_file import (
    StoredPosterior,
    prior_deviation,
    root_mean_squares,
)
from dlgen_cli.checkpoints.runs.run_config import header_metadata
from dlgen_cli.cli.app import app
from dlgen_cli.datasets import load_source

ANCHORS = Path(__file__).parents[2] / "fixtures" / "anchors.pt"

HOLDOUT, OCCAM, THEOREM = "holdout.clopper_pearson", "compression.occam", "pac_bayes.posterior"
NAMES = [f"layers.{index}.weight" for index in range(3)]
DRAWS = 2000


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def certify(directory, *words):
    result = invoke(
        "certify", directory, "--data", "digits", "-q", "--json", "--draws", DRAWS, *words
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def bound_of(report, theorem=THEOREM):
    return next(one for one in report["bounds"] if one["theorem"] == theorem)


def line_of(bound, statement):
    return next(one for one in bound["assumptions"] if statement in one["statement"])


def write(directory, *, model, init, stored, anchor_hashes=None, **facts):
    """Make the directory of a run that of a posterior."""
    hashes = torch.zeros(0, 16, dtype=torch.uint8) if anchor_hashes is None else anchor_hashes
    config = json.loads((directory / "config.json").read_text())
    config["objective"] = "pac-bayes"
    config.pop("files", None)
    config["anchor"] = {
        "name": "init.safetensors",
        "sha256": "ab" * 32,
        "examples": len(hashes),
        "hashes_sha256": hashlib.sha256(hashes.numpy().tobytes()).hexdigest(),
        "origin": "initial",
    } | facts
    (directory / "config.json").write_text(json.dumps(config))
    for name, tensors, role in (("model", model, "trained"), ("init", init, "initial")):
        metadata = header_metadata(config, tensors=role)
        save_file(tensors, directory / f"{name}.safetensors", metadata)
    labels = load_file(directory / "labels.safetensors")
    save_file({**labels, "anchor_hashes": hashes}, directory / "labels.safetensors")
    posterior.write(directory, stored)
    bind(directory)


@pytest.fixture(scope="module")
def trained(digits_run):
    return digits_run


def weights(trained):
    """Mean and prior mean: the last two layers moved, the first one frozen."""
    init, model = (load_file(trained / f"{name}.safetensors") for name in ("init", "model"))
    return {**model, NAMES[0]: init[NAMES[0]]}, init


def spreads():
    source = torch.Generator().manual_seed(0)
    lower = 0.02 * torch.randn(64, 64, generator=source).tril(-1)
    return StoredPosterior(
        exponents={NAMES[1]: -4, NAMES[2]: -3},
        spreads={
            NAMES[1]: 0.5 + torch.rand(64, 64, generator=source),
            f"{NAMES[2]}.factor": lower + 0.8 * torch.eye(64),
        },
    )


@pytest.fixture(scope="module")
def directory(trained, tmp_path_factory):
    path = Path(shutil.copytree(trained, tmp_path_factory.mktemp("posteriors") / "run"))
    model, init = weights(trained)
    write(path, model=model, init=init, stored=spreads())
    return path


@pytest.fixture(scope="module")
def report(directory):
    return certify(directory, "--shrink", 0.5, "--shrink", 1, "--shrink", 0)


def divergence(model, init, stored, shrink=1.0):
    """Distance and spread in nats, from dense covariances in float64."""
    bases = root_mean_squares(init)
    distance = spread = 0.0
    for name, exponent in stored.exponents.items():
        prior = prior_deviation(bases[name], exponent)
        moved = shrink * (model[name].double() - init[name].double())
        distance += float(moved.square().sum()) / (2 * prior**2)
        if name in stored.spreads:
            one = stored.spreads[name].double().square().expand(model[name].shape)
            spread += 0.5 * float((one - 1 - one.log()).sum())
        else:
            factor = stored.spreads[f"{name}.factor"].double()
            covariance = factor @ factor.T
            row = 0.5 * float(covariance.trace() - len(factor) - covariance.logdet())
            spread += len(model[name]) * row
    return distance, spread


def test_the_holdout_and_the_posterior_compete(report):
    theorems = [one["theorem"] for one in report["results"]["certificates"]]
    assert theorems == [HOLDOUT, THEOREM]
    assert [one["theorem"] for one in report["bounds"]] == theorems
    assert report["headline"]["delta"] * 2 <= 0.05
    terms = bound_of(report)["terms"]
    assert terms["delta"] + terms["delta_monte_carlo"] <= report["headline"]["delta"]


def test_the_divergence_is_that_of_dense_gaussians(report, trained):
    model, init = weights(trained)
    rows = bound_of(report)["terms"]["posteriors"]
    assert [row["name"] for row in rows] == ["shrink 0.5", "as trained", "shrink 0.0"]
    for row, shrink in zip(rows, (0.5, 1.0, 0.0), strict=True):
        distance, spread = divergence(model, init, spreads(), shrink)
        assert row["distance_nats_upper"] == pytest.approx(distance, rel=1e-5)
        assert row["spread_nats_upper"] == pytest.approx(spread, rel=1e-5)
    choice = bound_of(report)["terms"]["choice_nats"]
    assert choice >= 2 * math.log(49)
    assert choice == pytest.approx(2 * math.log(49))
    found = report["results"]["coordinates"]
    assert [row["name"] for row in found] == NAMES[1:]
    total = sum(row["spread_nats_upper"] for row in found)
    assert bound_of(report)["terms"]["spread_nats_upper"] == pytest.approx(total)


@pytest.mark.parametrize(
    ("words", "nats", "evidence"),
    [
        (("--tried", 20), math.log(20), "a list fixed before any result was seen"),
        (("--tried-nats", 7.5), 7.5, "the length of those that the search chose"),
    ],
)
def test_settings_that_were_tried_are_paid_for(directory, report, words, nats, evidence):
    bound = bound_of(certify(directory, *words))
    paid = bound["terms"]["choice_nats"] - bound_of(report)["terms"]["choice_nats"]
    assert paid == pytest.approx(nats)
    assert evidence in line_of(bound, "All settings of the prior")["evidence"]
    assert (
        "No other was tried" in line_of(bound_of(report), "All settings of the prior")["evidence"]
    )


def test_the_best_posterior_is_the_bound(report):
    bound = bound_of(report)
    values = [row["value"] for row in bound["terms"]["posteriors"]]
    assert bound["value"] == min(values)
    assert bound["terms"]["posteriors"][2]["distance_nats_upper"] == 0


@pytest.fixture(scope="module")
def sample(trained):
    source = load_source("digits")
    recorded = load_file(trained / "labels.safetensors")
    rows = {index: row for row, index in enumerate(source.indices.tolist())}
    places = [rows[index] for index in recorded["indices"].tolist()]
    return source.train.images[places].flatten(1) / 8, recorded["labels"], recorded["image_hashes"]


def test_the_risk_is_that_of_explicit_draws(report, trained, sample):
    model, init = weights(trained)
    bases, stored = root_mean_squares(init), spreads()
    source = torch.Generator().manual_seed(0)
    images, labels, _ = sample
    risks = []
    for _ in range(60):
        x = (images @ model[NAMES[0]].T).relu()
        normals = torch.randn(64, 64, generator=source)
        scale = prior_deviation(bases[NAMES[1]], -4)
        x = (x @ (model[NAMES[1]] + scale * stored.spreads[NAMES[1]] * normals).T).relu()
        factor = prior_deviation(bases[NAMES[2]], -3) * stored.spreads[f"{NAMES[2]}.factor"]
        x = x @ (model[NAMES[2]] + torch.randn(64, 64, generator=source) @ factor.T).T
        risks.append(float((x[:, :10].argmax(1) != labels).double().mean()))
    mean = sum(risks) / len(risks)
    row = bound_of(report)["terms"]["posteriors"][1]
    assert 0.005 < mean < 0.6
    error = math.sqrt(mean * (1 - mean) / DRAWS) + torch.tensor(risks).std().item() / 60**0.5
    assert row["empirical_risk"] == pytest.approx(mean, abs=4 * error)
    assert row["empirical_risk_upper"] > row["empirical_risk"]


@pytest.fixture(scope="module")
def head_report(trained, tmp_path_factory):
    """Only the last layer moves: its logits are Gaussians."""
    path = Path(shutil.copytree(trained, tmp_path_factory.mktemp("heads") / "run"))
    model, init = weights(trained)
    model[NAMES[1]] = init[NAMES[1]]
    spread = spreads().spreads[f"{NAMES[2]}.factor"]
    stored = StoredPosterior(exponents={NAMES[2]: -3}, spreads={f"{NAMES[2]}.factor": spread})
    write(path, model=model, init=init, stored=stored)
    return certify(path, "--shrink", 0.5, "--shrink", 1)


def test_where_the_logits_are_gaussians_their_risk_is_integrated(head_report, trained, sample):
    model, init = weights(trained)
    images, labels, _ = sample
    x = ((images @ init[NAMES[0]].T).relu() @ init[NAMES[1]].T).relu()
    factor = (
        prior_deviation(root_mean_squares(init)[NAMES[2]], -3)
        * spreads().spreads[f"{NAMES[2]}.factor"]
    )
    source, wrong = torch.Generator().manual_seed(1), []
    for _ in range(200):
        weight = model[NAMES[2]] + torch.randn(64, 64, generator=source) @ factor.T
        wrong.append(float(((x @ weight.T)[:, :10].argmax(1) != labels).double().mean()))
    mean, error = sum(wrong) / 200, torch.tensor(wrong).std().item() / 200**0.5
    bound = bound_of(head_report)
    row = bound["terms"]["posteriors"][1]
    assert row["empirical_risk_upper"] == pytest.approx(mean, abs=4 * error + 1 / 4096)
    assert row["cells"] == 4096
    assert not row.keys() & {"draws", "trials", "errors"}
    assert "delta_monte_carlo" not in bound["terms"]
    assert bound["terms"]["delta"] == head_report["headline"]["delta"]
    assert head_report["settings"]["draws"] is None
    statements = [one["statement"] for one in bound["assumptions"]]
    assert not any("number of draws" in one for one in statements)
    assert "4,096 cells" in line_of(bound, "without draws")["evidence"]


def test_an_integrated_report_verifies_and_no_number_can_be_changed(head_report, tmp_path):
    path = tmp_path / "report.json"

    def exit_code(changed):
        path.write_text(json.dumps(changed))
        return invoke("verify", path).exit_code

    assert exit_code(head_report) == 0
    index = [one["theorem"] for one in head_report["bounds"]].index(THEOREM)
    row = ("bounds", index, "terms", "posteriors", 0)
    changes = [
        ((*row, "cells"), 8192),
        ((*row, "empirical_risk"), 0.01),
        ((*row, "empirical_risk_upper"), 0.01),
        (("settings", "cells"), 8192),
        (("settings", "draws"), 2000),
        (("bounds", index, "terms", "delta"), 0.05),
    ]
    for place, value in changes:
        changed = json.loads(json.dumps(head_report))
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        assert exit_code(changed) == 1, place
    changed = json.loads(json.dumps(head_report))
    lines = changed["bounds"][index]["assumptions"]
    lines[:] = [one for one in lines if "without draws" not in one["statement"]]
    assert exit_code(changed) == 1


def test_the_ledger_says_what_the_certificate_rests_on(report):
    bound = bound_of(report)
    assert {one["status"] for one in bound["assumptions"]} == {"verified", "declared"}
    assert "before its first step" in line_of(bound, "The prior's mean")["evidence"]
    assert "7.8 nats for 2 tensors" in line_of(bound, "The prior's deviations")["evidence"]
    assert f"1 tensors equal every anchor's, entry by entry, first {NAMES[0]}" in str(
        line_of(bound, "Frozen parameters")
    )
    assert "mean network" in line_of(bound, "the random predictor Q")["evidence"]
    assert "float32" in line_of(bound, "The number of draws, 2,000")["evidence"]


def test_the_report_verifies_and_no_number_can_be_changed(report, tmp_path):
    path = tmp_path / "report.json"

    def exit_code(changed):
        path.write_text(json.dumps(changed))
        return invoke("verify", path).exit_code

    assert exit_code(report) == 0
    index = [one["theorem"] for one in report["bounds"]].index(THEOREM)
    places = [("bounds", index, "terms", name) for name in ("choice_nats", "errors")]
    for row in range(3):
        place = ("bounds", index, "terms", "posteriors", row)
        places += [(*place, name) for name in ("distance_nats_upper", "errors", "value")]
    for row in range(2):
        place = ("results", "coordinates", row)
        places += [(*place, name) for name in ("distance_nats_upper", "spread_nats_upper")]
    places += [("settings", "shrink", 0), ("results", "certificates", 1, "risk_upper")]
    for place in places:
        changed = json.loads(json.dumps(report))
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        old = inner[place[-1]]
        inner[place[-1]] = old + 1 if isinstance(old, int) else old * 0.75 + 1e-3
        assert exit_code(changed) == 1, place


def test_examples_that_trained_the_priors_mean_leave_the_sample(trained, sample, tmp_path):
    path = Path(shutil.copytree(trained, tmp_path / "run"))
    model, init = weights(trained)
    hashes = sample[2][:300].contiguous()
    ancestor = {"name": "anchor", "sha256": "ab" * 32, "origin": "run", "source": "digits"}
    ancestor |= {"source_sha256": None, "examples": 300, "hashes_sha256": ""}
    facts = {"origin": "run", "name": "anchor", "ancestors": [ancestor]}
    write(path, model=model, init=init, stored=spreads(), anchor_hashes=hashes, **facts)
    bound = bound_of(certify(path))
    left = len(sample[2]) - 300
    assert bound["terms"]["examples"] == left
    line = line_of(bound, "trained the prior's mean")
    assert line["status"] == "verified"
    assert f"300 examples trained it and left the bound; {left} are in it" in line["evidence"]
    certified = bound_of(invoked_around(path, trained), "pac_bayes.kl")
    assert certified["terms"]["examples"] == left


def invoked_around(anchor, run):
    """Another run's certificate around the prior's mean of this one."""
    init = anchor / "init.safetensors"
    return certify(run, "--anchors", init, "--sigma", 0.3, "--b", 8)


def test_examples_of_the_anchor_that_are_not_on_record_are_refused(trained, tmp_path):
    path = Path(shutil.copytree(trained, tmp_path / "run"))
    model, init = weights(trained)
    write(path, model=model, init=init, stored=spreads(), origin="run", examples=500)
    assert "(500, 16) for its 500 examples were expected" in refused(path)


def test_a_declared_anchor_is_on_the_ledger_as_that(trained, tmp_path):
    path = Path(shutil.copytree(trained, tmp_path / "run"))
    model, init = weights(trained)
    write(path, model=model, init=init, stored=spreads(), origin="declared", name="net.pt")
    line = line_of(bound_of(certify(path)), "The prior's mean")
    assert line["status"] == "declared"
    assert "net.pt, sha256 abababababab, records no run" in line["evidence"]


@pytest.fixture
def copy(directory, tmp_path):
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def refused(directory, *words):
    result = invoke("certify", directory, "--data", "digits", "--draws", 10, *words)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_damaged_directory_is_refused(copy, trained):
    labels = load_file(copy / "labels.safetensors")
    for hashes in (labels["image_hashes"][:2] + 1, torch.zeros(3, dtype=torch.uint8)):
        changed = {**labels, "anchor_hashes": hashes}
        save_file(changed, copy / "labels.safetensors")
        bind(copy)
        assert "anchor" in refused(copy)
    del labels["anchor_hashes"]
    save_file(labels, copy / "labels.safetensors")
    bind(copy)
    assert "it records none" in refused(copy)
    shutil.copy(trained / "init.safetensors", copy / "init.safetensors")
    assert "is not the file that the run wrote" in refused(copy)
    bind(copy)
    assert "records another run" in refused(copy)


def test_another_posterior_is_not_the_runs(copy):
    stored = spreads()
    stored.spreads[NAMES[1]].mul_(0.5)
    posterior.write(copy, stored)
    assert "posterior.safetensors is not the file that the run wrote" in refused(copy)


def test_a_frozen_parameter_must_equal_the_priors_mean(trained, copy):
    init = weights(trained)[1]
    moved = load_file(trained / "model.safetensors")
    write(copy, model=moved, init=init, stored=spreads())
    assert "layers.0.weight has no spread but differs from the prior's mean" in refused(copy)


def test_an_anchor_of_unknown_origin_is_refused(trained, copy):
    model, init = weights(trained)
    write(copy, model=model, init=init, stored=spreads(), origin="somewhere")
    assert "an anchor of origin 'somewhere'" in refused(copy)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--anchors", ANCHORS), "--anchors was given, but"),
        (("--freeze", "*"), "--freeze was given, but"),
        (("--sigma", 0.5), "--sigma was given, but"),
        (("--shrink", -0.5), "--shrink is -0.5"),
        (("--shrink", 2.5), "--shrink is 2.5"),
        (("--tried-nats", -1), "--tried-nats is -1"),
        (("--tried-nats", 2, "--tried", 3), "both were given"),
        (("--shrink", 1, "--shrink", 1), "one twice"),
    ],
)
def test_options_without_sense_are_refused(directory, words, message):
    assert message in refused(directory, *words)


@pytest.mark.parametrize("words", [("--shrink", 0.5), ("--occam",), ("--tried-nats", 1)])
def test_a_run_without_a_posterior_has_nothing_to_shrink(trained, words):
    assert f"{words[0]} was given, but" in refused(trained, *words)


def test_occam_competes_where_it_is_asked_for(directory):
    report = certify(directory, "--occam", "--b", 8)
    assert [one["theorem"] for one in report["results"]["certificates"]] == [
        HOLDOUT, OCCAM, THEOREM
    ]  # fmt: skip
    assert report["headline"]["delta"] * 3 <= 0.05


def test_the_page_shows_the_sweep(directory, tmp_path):
    page = tmp_path / "page.html"
    words = ("--shrink", 0.5, "--shrink", 1, "--output", page, "-q", "--draws", DRAWS)
    result = invoke("certify", directory, "--data", "digits", *words)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "Complexity against the risk on the sample" in text
    assert "as trained" in text
    assert "<svg" in text
