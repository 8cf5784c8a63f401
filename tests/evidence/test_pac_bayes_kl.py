"""The risk of a Gaussian predictor around a checkpoint: draws, deviations, distances."""

import json
import shutil
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dlgen_cli.checkpoints.stored import sha256_of
from dlgen_cli.datasets import load_source
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.pac_bayes_kl import _product

GIBBS = "pac_bayes.kl"


@pytest.fixture
def report(digits_report):
    return digits_report


@pytest.fixture
def copy(digits_run, tmp_path):
    return Path(shutil.copytree(digits_run, tmp_path / "copy"))


def test_the_risk_of_the_random_predictor_is_that_of_explicit_draws(digits_run, report, bound_of):
    weights = load_file(digits_run / "model.safetensors")
    source = load_source("digits")
    recorded = load_file(digits_run / "labels.safetensors")
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


def test_frozen_parameters_cost_nothing_and_must_equal_the_anchor(
    copy, invoke, certify, bound_of, line_of
):
    init = load_file(copy / "init.safetensors")
    model = load_file(copy / "model.safetensors")
    moved = {**init, "layers.2.weight": model["layers.2.weight"]}
    with safe_open(copy / "init.safetensors", framework="pt") as file:
        metadata = file.metadata()
    save_file(moved, copy / "init.safetensors", metadata)
    config = json.loads((copy / "config.json").read_text())
    config["files"]["init.safetensors"] = sha256_of(copy / "init.safetensors")
    (copy / "config.json").write_text(json.dumps(config))
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


def test_relative_sigma_follows_the_anchors_scale(digits_run, certify, bound_of):
    report = certify(digits_run, "--relative-sigma", "--sigma", "0.5")
    terms = bound_of(report, GIBBS)["terms"]
    init, model = (load_file(digits_run / f"{name}.safetensors") for name in ("init", "model"))
    expected = 0.0
    for name, anchor in init.items():
        deviation = 0.5 * anchor.double().square().mean().sqrt()
        moved = (model[name].double() - anchor.double()).square().sum()
        expected += float(moved / (2 * deviation**2))
    assert terms["kl_nats"] >= expected * (1 - 1e-12)
    assert terms["kl_nats"] == pytest.approx(expected, rel=1e-6)


def test_a_distance_below_the_floats_is_not_rounded_to_zero():
    product = _product(1e-300, Decimal("1e-300"))
    assert 0 < product <= sys.float_info.min


def test_a_distance_above_the_floats_is_refused():
    with pytest.raises(UsageError, match=r"exceeds the range of float64.*\n?.*larger --sigma"):
        _product(1e300, Decimal("1e300"))
