"""A tuned network certified by its change from the base."""

import json

import pytest
import scipy.stats
import torch
from features import arrays, write
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dlgen_cli import training
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.cli.app import app
from dlgen_cli.verification import verify

OCCAM = "compression.occam"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A head that was trained on other examples, and one that was tuned from it."""
    folder = tmp_path_factory.mktemp("tuned")
    other = write(folder / "other.npz", **arrays(seed=7, train=600))
    write(folder / "a.npz")
    given = {"epochs": 20, "threads": 1, "learning_rate": 0.01}
    training.run(training.make_recipe({"features": [other], **given}), folder / "base")
    start = {"features": [folder / "a.npz"], "start": folder / "base", **given, "epochs": 3}
    training.run(training.make_recipe(start), folder / "tuned")
    return folder


def certify(folder, *words):
    given = ("certify", folder / "tuned", "--features", folder / "a.npz", "--draws", 100, *words)
    return CliRunner().invoke(app, [*map(str, given), "--json", "-q"])


@pytest.fixture(scope="module")
def written(folder):
    result = certify(folder, "--base", folder / "base")
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def report(written):
    return json.loads(written)


def occam_of(report):
    return next(one for one in report["bounds"] if one["theorem"] == OCCAM)


def lines_of(report):
    return {line["statement"]: line for line in occam_of(report)["assumptions"]}


def test_the_change_is_what_is_paid(report):
    assert verify(Fields(report)).mismatches == ()
    bound = occam_of(report)
    terms = bound["terms"]
    assert terms["bits"] < 21 * 32 / 4  # of 21 weights in float32
    level = 0.05 / 3 * 2.0 ** -terms["bits"]
    exact = scipy.stats.beta.isf(level, terms["errors"] + 1, terms["examples"] - terms["errors"])
    assert exact * (1 - 1e-9) <= bound["value"] <= exact * (1 + 1e-6)
    base = lines_of(report)["The base does not depend on the bound's sample."]
    assert base["status"] == "declared"
    assert base["evidence"].startswith("Given with --base: base, sha256 ")
    assert report["settings"]["base"] == "base"
    assert {one["theorem"] for one in report["bounds"]} >= {"pac_bayes.kl"}


@pytest.mark.parametrize(("name", "value"), [("bits", 8), ("errors", 0), ("union_nats", -1.0)])
def test_changed_numbers_do_not_verify(report, name, value):
    occam_of(report)["terms"][name] = value
    assert verify(Fields(report)).mismatches


def test_no_line_can_be_left_out(report):
    bound = occam_of(report)
    lines = bound["assumptions"]
    for line in lines:
        bound["assumptions"] = [one for one in lines if one is not line]
        if "trained the anchor" not in line["statement"]:
            assert verify(Fields(report)).mismatches, line


def test_a_base_that_was_trained_on_the_sample_loses_those_examples(folder):
    result = certify(folder, "--base", folder / "tuned")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert occam_of(report)["status"] == "not_applicable"
    line = lines_of(report)["The base does not depend on the bound's sample."]
    assert line["status"] == "violated"


def test_the_price_follows_the_change(folder, report, tmp_path):
    """From a base that is further away the code is longer, or errs more: the bound is worse."""
    state = load_file(folder / "base" / "model.safetensors")
    draw = torch.Generator().manual_seed(0)
    far = {name: one + torch.randn(one.shape, generator=draw) for name, one in state.items()}
    save_file(far, tmp_path / "far.safetensors")
    result = certify(folder, "--base", tmp_path / "far.safetensors")
    assert result.exit_code == 0, result.output
    assert occam_of(json.loads(result.stdout))["value"] > occam_of(report)["value"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--base", "{base}", "--anchors", "{base}"), "the base is the anchor"),
        (("--base", "{none}"), "none"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, words, message):
    paths = {"base": folder / "base", "none": folder / "none"}
    result = certify(folder, *[word.format(**paths) for word in words])
    assert result.exit_code == 2
    assert message in result.stderr
