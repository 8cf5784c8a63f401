"""The certificate of the holdout: what is counted, and what withholds it."""

import shutil
from pathlib import Path

import pytest
import scipy.stats
import torch
from digits import outputs
from run_files import bind
from safetensors.torch import load_file, save_file

from dlgen_cli.audit.certify import certify as run_certify
from dlgen_cli.datasets import load_source
from dlgen_cli.evidence.options import AuditOptions, DataOptions

HOLDOUT = "holdout.clopper_pearson"


@pytest.fixture
def copy(digits_run, tmp_path):
    return Path(shutil.copytree(digits_run, tmp_path / "copy"))


@pytest.fixture
def report(digits_report):
    return digits_report


def test_the_holdout_is_the_one_that_the_run_set_aside(digits_run, report, bound_of, line_of):
    source = load_source("digits")
    held = load_file(digits_run / "labels.safetensors")["holdout_indices"]
    rows = torch.isin(source.indices, held)
    guesses = outputs(digits_run, source.train.images[rows]).argmax(1)
    wrong = int((guesses != source.train.labels[rows]).sum())
    bound = bound_of(report, HOLDOUT)
    assert (bound["terms"]["errors"], bound["terms"]["examples"]) == (wrong, 200)
    exact = scipy.stats.beta.ppf(1 - bound["terms"]["delta"], wrong + 1, 200 - wrong)
    assert bound["value"] >= exact - 1e-12
    assert bound["value"] == pytest.approx(exact, rel=1e-9)
    assert line_of(bound, "No example of the holdout")["status"] == "verified"


def test_a_training_example_in_the_holdout_withholds_the_certificate(
    copy, certify, bound_of, line_of
):
    labels = load_file(copy / "labels.safetensors")
    labels["holdout_hashes"][3] = labels["image_hashes"][11]
    save_file(labels, copy / "labels.safetensors")
    bind(copy)
    report = certify(copy)
    bound = bound_of(report, HOLDOUT)
    assert (bound["status"], bound["value"]) == ("not_applicable", None)
    line = line_of(bound, "No example of the holdout")
    assert line["status"] == "violated"
    assert "1 images of it are among those trained on" in line["evidence"]
    assert report["headline"]["theorem"] != HOLDOUT


def test_it_tells_how_many_examples_are_evaluated(digits_run):
    calls = []
    run_certify(
        AuditOptions(checkpoint=digits_run, b=8),
        DataOptions(data="digits", draws=10),
        layer_progress=lambda *call: calls.append(call),
    )
    done = [call[1:] for call in calls if call[0] == "evaluating"]
    parts = 1242 + 200 + len(load_source("digits").test)
    assert done[-1] == (parts, parts)
    assert {total for _, total in done} == {parts}
    assert any(call[0] == "evaluating a code" for call in calls)
