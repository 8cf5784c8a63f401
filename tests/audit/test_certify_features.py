"""Features from files to certificates: what is hashed, what is declared, what is refused."""

import json

import numpy as np
import pytest
from features import arrays, write

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification import verify

TRAIN = ("train", "--threads", 1, "--quiet")
HOLDOUT = "holdout.clopper_pearson"


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write(tmp_path_factory.mktemp("features") / "a.npz")


@pytest.fixture
def train(invoke, tmp_path):
    def run(name, *words):
        result = invoke(*TRAIN, "--out", tmp_path / name, *words)
        assert result.exit_code == 0, result.output
        return tmp_path / name

    return run


@pytest.fixture
def certified(invoke):
    def run(*words):
        result = invoke("certify", *words, "--json", "--quiet")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert verify(Fields(report)).mismatches == ()
        return report

    return run


def lines_of(report, theorem):
    bound = next(one for one in report["bounds"] if one["theorem"] == theorem)
    return {line["statement"]: line for line in bound["assumptions"]}


def test_any_head_has_a_holdout_certificate(train, certified, features):
    run = train("run", "--features", features, "--holdout", 60, "--epochs", 20)
    report = certified(run, "--features", features, "--draws", 200)
    lines = lines_of(report, HOLDOUT)
    assert lines["No example of the holdout was trained on."]["status"] == "verified"
    made = lines["What computed a.npz was fixed without a look at these examples."]
    assert made["status"] == "declared"
    assert "6 features of each example" in made["evidence"]
    assert report["settings"]["features"][0]["columns"] == 6
    assert report["settings"]["data"] == "a.npz"
    assert report["results"]["sample_examples"] == 180
    for statement in lines:  # a line that is left out does not verify
        bound = next(one for one in report["bounds"] if one["theorem"] == HOLDOUT)
        kept = bound["assumptions"]
        bound["assumptions"] = [line for line in kept if line["statement"] != statement]
        assert verify(Fields(report)).mismatches
        bound["assumptions"] = kept


def test_the_bound_is_trained_for_without_an_anchor(train, certified, features):
    words = ("--objective", "pac-bayes", "--features", features, "--epochs", 3)
    report = certified(train("run", *words), "--features", features, "--draws", 400)
    lines = lines_of(report, "pac_bayes.posterior")
    prior = lines["The prior's mean does not depend on the bound's sample."]
    assert prior["status"] == "declared"
    assert prior["evidence"].startswith("The initialization")


def test_rows_that_trained_the_prior_leave_the_bound(train, certified, features):
    first = train("first", "--features", features, "--m", 100, "--epochs", 5)
    words = ("--objective", "pac-bayes", "--features", features, "--anchors", first)
    report = certified(train("run", *words, "--epochs", 2), "--features", features, "--draws", 400)
    bound = next(one for one in report["bounds"] if one["theorem"] == "pac_bayes.posterior")
    assert bound["terms"]["examples"] == 140
    line = lines_of(report, "pac_bayes.posterior")[
        "The prior's mean does not depend on the bound's sample."
    ]
    assert line["status"] == "verified"


def test_a_holdout_row_that_was_trained_on_withholds_the_certificate(train, certified, tmp_path):
    table = arrays()
    table["test_x"][:3] = table["train_x"][:3]
    features = write(tmp_path / "twice.npz", **table)
    report = certified(
        train("run", "--features", features, "--epochs", 2), "--features", features, "--draws", 100
    )
    line = lines_of(report, HOLDOUT)["No example of the holdout was trained on."]
    assert (line["status"], line["evidence"][:2]) == ("violated", "3 ")


def test_two_files_are_joined_in_their_order(train, certified, invoke, features, tmp_path):
    more = arrays(seed=1, columns=4)
    other = write(tmp_path / "b.npz", train_x=more["train_x"], test_x=more["test_x"])
    both = ("--features", features, "--features", other)
    run = train("run", *both, "--arch", "dense", "--width", 8, "--epochs", 5)
    report = certified(run, *both, "--draws", 100)
    assert [one["columns"] for one in report["settings"]["features"]] == [6, 4]
    assert "What computed b.npz was fixed without a look at these examples." in lines_of(
        report, HOLDOUT
    )
    for changed in ("name", "sha256", "columns"):
        rows = report["settings"]["features"]
        report["settings"]["features"] = [rows[0], rows[1] | {changed: rows[0][changed]}]
        assert verify(Fields(report)).mismatches
        report["settings"]["features"] = rows
    swapped = invoke("certify", run, "--features", other, "--features", features)
    assert swapped.exit_code == 2
    assert "are not among the training images of b.npz + a.npz" in swapped.stderr


def test_a_head_of_another_tool_is_certified(certified, features, tmp_path):
    table = arrays()
    centres = np.stack([table["train_x"][table["train_y"] == c].mean(0) for c in range(3)])
    tensors = {
        "layers.0.weight": centres,
        "layers.0.bias": -(centres**2).sum(1) / 2,
    }
    np.savez(tmp_path / "head.npz", **tensors)
    words = (tmp_path / "head.npz", "--arch", "linear", "--features", features)
    report = certified(*words)
    bound = next(one for one in report["bounds"] if one["theorem"] == HOLDOUT)
    right = (table["test_x"] @ centres.T + tensors["layers.0.bias"]).argmax(1) == table["test_y"]
    assert bound["terms"]["errors"] == int((~right).sum())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--source", "digits"), "--features and --source digits were given"),
        (("--dataset", "random"), "draws random images"),
        (("--arch", "mlp", "--normalize", "rows"), "--normalize was given with --arch mlp"),
        (("--arch", "mlp", "--width", 4), "width 4 is smaller than its 6 inputs"),
        (("--arch", "small_convnet"), "does not take rows of 6"),
        (("--normalize", "columns"), "--normalize 'columns' is unknown"),
        (("--objective", "coded"), "coded"),
    ],
)
def test_options_that_do_not_fit_features_are_refused(invoke, features, tmp_path, words, message):
    result = invoke(*TRAIN, "--features", features, "--out", tmp_path / "run", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_head_without_features_is_refused(invoke, tmp_path):
    result = invoke(*TRAIN, "--arch", "linear", "--source", "digits", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "--arch linear takes rows of features; none were given" in result.stderr
