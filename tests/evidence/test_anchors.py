"""Anchors that were trained on examples of the bound's sample."""

import shutil

import pytest

from dlgen_cli import training

GIBBS = "pac_bayes.kl"


@pytest.fixture(scope="module")
def trained_anchor(tmp_path_factory):
    path = tmp_path_factory.mktemp("anchors") / "run"
    training.run(training.make_recipe({"source": "digits", "seed": 5, "epochs": 1}), path)
    return path


def test_an_anchor_trained_on_the_sample_withholds_the_certificate(
    digits_run, tmp_path, certify, bound_of, line_of
):
    recipe = training.make_recipe({"source": "digits", "holdout": 200, "seed": 2, "epochs": 3})
    training.run(recipe, tmp_path / "anchor")
    report = certify(digits_run, "--anchors", str(tmp_path / "anchor"), "--sigma", "0.3")
    bound = bound_of(report, GIBBS)
    assert bound["status"] == "not_applicable"
    assert line_of(bound, "trained the anchor")["status"] == "violated"


def test_examples_that_trained_an_anchor_leave_the_sample(
    digits_run, tmp_path, certify, bound_of, line_of
):
    recipe = training.make_recipe(
        {"source": "digits", "holdout": 200, "seed": 2, "epochs": 3, "m": 500}
    )
    training.run(recipe, tmp_path / "anchor")
    report = certify(digits_run, "--anchors", str(tmp_path / "anchor"), "--sigma", "0.3")
    bound = bound_of(report, GIBBS)
    assert bound["terms"]["examples"] == report["results"]["sample_examples"] - 500
    line = line_of(bound, "trained the anchor")
    assert line["status"] == "verified"
    assert "500 examples trained it and left the bound; 742 are in it" in line["evidence"]


@pytest.mark.parametrize("how", ["copied", "renamed", "linked", "in place"])
def test_a_trained_anchor_is_known_wherever_it_lies(
    digits_run, trained_anchor, tmp_path, how, certify, bound_of, line_of
):
    weights = trained_anchor / "model.safetensors"
    anchor = tmp_path / ("init.safetensors" if how == "renamed" else "anchor.safetensors")
    if how == "linked":
        anchor.symlink_to(weights)
    elif how == "in place":
        anchor = weights
    else:
        shutil.copy(weights, anchor)
    report = certify(digits_run, "--anchors", str(anchor), "--sigma", "0.3")
    for theorem in (GIBBS, "pac_bayes.anchors", "pac_bayes.mixture", "pac_bayes.pinsker"):
        bound = bound_of(report, theorem)
        assert (bound["status"], bound["value"]) == ("not_applicable", None)
        assert line_of(bound, "trained the anchor")["status"] == "violated"


def test_an_initialization_of_another_run_is_an_anchor(
    digits_run, trained_anchor, certify, bound_of
):
    anchor = trained_anchor / "init.safetensors"
    bound = bound_of(certify(digits_run, "--anchors", str(anchor), "--sigma", "0.3"), GIBBS)
    assert bound["value"] is not None
