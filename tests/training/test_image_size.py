"""A run whose network resizes its images: what it records, and its audits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from dlgen_cli import training
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.cli.app import app
from dlgen_cli.datasets import load_source, scaled
from dlgen_cli.errors import UsageError
from dlgen_cli.networks import read_network
from dlgen_cli.predictors import open_folded
from dlgen_cli.training import continue_recipe, make_recipe


def test_the_stem_and_the_name_follow_the_size():
    recipe = make_recipe({"image_size": 64})
    assert (recipe.architecture, recipe.stem, recipe.image_size) == ("mobilenet_v2", "imagenet", 64)
    assert make_recipe({"architecture": "mobilenet_v2-64"}) == recipe
    assert continue_recipe(recipe, {"architecture": "mobilenet_v2-64"}) == recipe
    with pytest.raises(UsageError, match="--arch names the image size 64, --image-size 32"):
        make_recipe({"architecture": "mobilenet_v2-64", "image_size": 32})
    with pytest.raises(
        UsageError, match=r"--image-size was given with .*; it belongs to mobilenet"
    ):
        make_recipe({"architecture": "resnet18", "image_size": 64})
    with pytest.raises(UsageError, match="--image-size is 0"):
        make_recipe({"image_size": 0})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    chance = np.random.default_rng(5)
    for split, count in (("train", 10), ("test", 4)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def directory(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "resized"
    given = {"source": str(folder), "image_size": 32, "epochs": 1, "threads": 1, "device": "cpu"}
    training.run(make_recipe(given), path)
    return path


def test_the_run_records_raw_pixels_and_their_norm(directory: Path):
    config = json.loads((directory / "config.json").read_text())
    assert config["architecture_arguments"] == {
        "num_classes": 2,
        "stem": "imagenet",
        "image_size": 32,
    }
    assert config["input"]["scale"] == 1.0
    assert math.sqrt(192) <= config["input"]["norm_bound"] <= math.sqrt(192) * (1 + 1e-15)


def test_the_folded_network_errs_as_the_run_records(directory: Path, folder: Path):
    checkpoint = open_checkpoint(directory)
    network = open_folded(checkpoint, read_network(checkpoint))
    test = load_source(str(folder)).test
    guesses = network(scaled(test.images, 1.0)).argmax(1)
    assert float((guesses != test.labels).double().mean()) == checkpoint.config["test_error"]
    assert not any("normalization" in name for name in network.parameters)
    assert all(torch.isfinite(tensor).all() for tensor in network.parameters.values())


def test_it_is_certified_and_the_report_verifies(directory: Path, folder: Path, tmp_path: Path):
    def run(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.stdout

    fast = ("--b", 8, "--draws", 20, "--relative-sigma", "-q", "--json")
    text = run("certify", directory, "--data", folder, *fast)
    report = json.loads(text)
    bounds = {one["theorem"]: one for one in report["bounds"]}
    assert bounds["compression.stored"]["status"] == "vacuous"
    assert bounds["pac_bayes.kl"]["status"] == "vacuous"
    nodes = bounds["compression.stored"]["terms"]["network"]["nodes"]
    assert [node["operation"] for node in nodes[1:3]] == ["interpolate", "fixednormalization"]
    (tmp_path / "report.json").write_text(text)
    run("verify", tmp_path / "report.json")
