"""A checkpoint certified through a surrogate: what is counted, declared and refused."""

import json

import numpy as np
import pytest
import torch
from features import arrays, write
from PIL import Image
from typer.testing import CliRunner

from dlgen_cli import training
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.cli.app import app
from dlgen_cli.verification import verify

NAME = "disagreement"


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Features, a surrogate that set 60 rows aside, and a network that was trained on all."""
    folder = tmp_path_factory.mktemp("networks")
    path = write(folder / "a.npz")
    for name, more in (("surrogate", {"holdout": 60}), ("all", {"seed": 1})):
        given = {"features": [path], "epochs": 30, "threads": 1, "learning_rate": 0.01}
        training.run(training.make_recipe(given | more), folder / name)
    return folder


@pytest.fixture(scope="module")
def fresh(networks):
    return unlabelled(networks / "fresh.npz", arrays(seed=5, train=500)["train_x"])


def unlabelled(path, rows):
    np.savez(path, x=rows)
    return path


def certify(networks, fresh):
    given = ("--features", networks / "a.npz", "--surrogate", networks / "surrogate")
    words = ("certify", networks / "all", *given, "--unlabelled", fresh, "--draws", 50, "--json")
    result = CliRunner().invoke(app, [str(one) for one in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def written(networks, fresh):
    return certify(networks, fresh)


@pytest.fixture
def report(written):
    return json.loads(written)


def bound_of(report):
    return next(one for one in report["bounds"] if one["theorem"] == NAME)


def answers(directory, rows):
    from safetensors.torch import load_file

    weight, bias = load_file(directory / "model.safetensors").values()
    weight, bias = (weight, bias) if weight.ndim == 2 else (bias, weight)
    rows = torch.from_numpy(rows)
    rows = rows * 6**0.5 / rows.norm(dim=1, keepdim=True)
    return (rows @ weight.T + bias).argmax(1)


def test_disagreements_are_counted_and_the_report_verifies(report, networks, fresh):
    assert verify(Fields(report)).mismatches == ()
    rows = np.load(fresh)["x"]
    apart = answers(networks / "all", rows) != answers(networks / "surrogate", rows)
    bound = bound_of(report)
    assert bound["terms"]["disagreements"] == int(apart.sum()) > 0
    assert (bound["terms"]["examples"], bound["terms"]["surrogate_examples"]) == (500, 60)
    assert bound["status"] == "holds"
    assert NAME in report["headline"]["candidates"]
    assert report["settings"]["unlabelled"] == ["fresh.npz"]
    assert bound["terms"]["delta"] == pytest.approx(0.05 / 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("disagreements", 0), ("surrogate_errors", 0), ("examples", 501), ("surrogate_examples", 61)],
)
def test_changed_numbers_do_not_verify(report, name, value):
    bound_of(report)["terms"][name] = value
    assert verify(Fields(report)).mismatches


def test_no_line_can_be_left_out(report):
    bound = bound_of(report)
    lines = bound["assumptions"]
    keys = {"surrogate", "unlabelled", "computed"}
    assert all(any(one in line["statement"] for line in lines) for one in keys)
    for line in lines:
        bound["assumptions"] = [one for one in lines if one is not line]
        if not line["statement"].startswith("Of the surrogate: What computed"):
            assert verify(Fields(report)).mismatches or "fresh.npz" in line["statement"]


def test_an_unlabelled_example_that_trained_a_network_withholds_the_bound(networks, tmp_path):
    rows = arrays(seed=5, train=500)["train_x"]
    rows[7] = arrays()["train_x"][3]
    report = json.loads(certify(networks, unlabelled(tmp_path / "seen.npz", rows)))
    bound = bound_of(report)
    line = next(one for one in bound["assumptions"] if "either network" in one["statement"])
    assert (line["status"], line["evidence"][:12]) == ("violated", "1 of the 500")
    assert bound["value"] is None
    assert verify(Fields(report)).mismatches == ()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((5, 4), np.float32), "have shape (4,); (6,) was expected"),
        (np.full((5, 6), np.nan), "NaN or an infinity in row 0"),
        (np.zeros(6), "x of "),
    ],
)
def test_rows_that_do_not_fit_are_refused(invoke, networks, tmp_path, rows, message):
    given = ("--features", networks / "a.npz", "--surrogate", networks / "surrogate")
    fresh = unlabelled(tmp_path / "fresh.npz", rows)
    result = invoke("certify", networks / "all", *given, "--unlabelled", fresh)
    assert result.exit_code == 2
    assert message in result.stderr


def test_options_that_belong_together(invoke, networks, fresh):
    given = ("certify", networks / "all", "--features", networks / "a.npz")
    alone = invoke(*given, "--surrogate", networks / "surrogate")
    assert alone.exit_code == 2
    assert "--surrogate and --unlabelled belong together" in alone.stderr
    none = invoke(*given, "--surrogate", networks / "none", "--unlabelled", fresh)
    assert none.exit_code == 2
    two = ("--unlabelled", fresh, "--unlabelled", fresh)
    many = invoke(*given, "--surrogate", networks / "surrogate", *two)
    assert many.exit_code == 2
    assert "--unlabelled names 2 files or folders; 1 were expected" in many.stderr


def test_images_in_a_folder_are_counted(invoke, digits_run, digits_mlp, tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "some").mkdir()
    for number in range(20):
        pixels = draw.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "some" / f"{number}.png")
    words = ("--data", "digits", "--surrogate", digits_run, "--unlabelled", tmp_path)
    result = invoke("certify", digits_mlp, *words, "--draws", 50, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert verify(Fields(report)).mismatches == ()
    assert bound_of(report)["terms"]["examples"] == 20
