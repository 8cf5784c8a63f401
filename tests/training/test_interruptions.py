"""A run that is killed from outside goes on to the same bytes; two processes share one run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import finish, start
from PIL import Image
from safetensors.torch import load_file

from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.training import Recipe, make_recipe, resume, run

REPEATABLE = ("model.safetensors", "init.safetensors", "labels.safetensors", "config.json")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 small images of two classes, light and dark."""
    root = tmp_path_factory.mktemp("photographs")
    for split, count in (("train", 40), ("test", 8)):
        for label, name in enumerate(("dark", "light")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                source = torch.Generator().manual_seed(1000 * label + number + len(split))
                pixels = torch.randint(0, 200, (32, 32, 3), generator=source) + 50 * label
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / f"{number}.png")
    return root


def command(*words: str) -> list[str]:
    return ["train", "--device", "cpu", *words]


def convolutional(photographs: Path, **given: Any) -> Recipe:
    """Two epochs of a MobileNetV2 on a handful of images."""
    settings = {"epochs": 2, "batch_size": 16, "threads": 1, "until_train_error": -1} | given
    return make_recipe({"source": str(photographs), "stem": "imagenet", "device": "cpu"} | settings)


def test_a_run_killed_at_random_moments_ends_in_the_same_bytes(tmp_path: Path):
    options = ("--source", "digits", "--epochs", "40", "--until-train-error", "-1", "-q")
    log = tmp_path / "log"
    assert finish(start(command(*options, "--out", str(tmp_path / "whole")), log)) == 0
    chance, out, kills = random.Random(5), tmp_path / "killed", 0
    resume: tuple[str, ...] = ()
    while not out.exists():
        process = start(command(*options, *resume, "--out", str(out)), log)
        while process.is_alive() and not (tmp_path / "killed.partial").exists():
            time.sleep(0.01)
        if kills < 5:
            time.sleep(chance.uniform(0, 0.5))
            process.kill()
            kills += 1
        finish(process)
        resume = ("--resume",)
    for name in REPEATABLE:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_convolutional_run_resumes_to_the_same_bytes(tmp_path: Path, photographs: Path):
    run(convolutional(photographs), tmp_path / "whole")
    run(convolutional(photographs, epochs=1), tmp_path / "parts")
    resume(tmp_path / "parts", {"epochs": 2})
    for name in ("model.safetensors", "init.safetensors", "labels.safetensors"):
        ours = (tmp_path / "parts" / name).read_bytes()
        assert ours == (tmp_path / "whole" / name).read_bytes()


def test_ctrl_c_leaves_a_state_to_go_on_from(tmp_path: Path):
    out = tmp_path / "run"
    words = command("--source", "digits", "--epochs", "100000", "--until-train-error", "-1")
    process = start([*words, "--out", str(out)], tmp_path / "log")
    try:
        while not (tmp_path / "run.partial" / "resume.pt").exists():
            assert process.is_alive()
            time.sleep(0.02)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        code = finish(process)
    finally:
        process.kill()
    assert code == 130
    errors = (tmp_path / "log.err").read_text()
    assert errors.splitlines()[-1] == f"Interrupted. Go on with: dlgen train --resume --save {out}"
    assert "epoch" in run_directory.read_resume(tmp_path / "run.partial")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> dict[str, Path]:
    """The same run by one process and by two."""
    root = tmp_path_factory.mktemp("processes")
    given = {"optimizer": "sgd", "learning_rate": 0.01}
    run(convolutional(photographs, **given), root / "alone")
    words = command(
        "--source", str(photographs), "--stem", "imagenet", "--optimizer", "sgd", "--lr", "0.01",
        "--epochs", "2", "--batch-size", "16", "--threads", "1", "--until-train-error", "-1",
        "--out", str(root / "two"), "--json", "-q",
    )  # fmt: skip
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "dlgen_cli", *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    (root / "two.json").write_text(done.stdout)
    return {"alone": root / "alone", "two": root / "two", "report": root / "two.json"}


def test_two_processes_train_on_the_same_labels(shared: dict[str, Path]):
    for name in ("labels.safetensors", "init.safetensors"):
        ours, theirs = (load_file(shared[key] / name) for key in ("alone", "two"))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    alone, two = (run_directory.read_config(shared[key]) for key in ("alone", "two"))
    assert two["computation"]["processes"] == 2
    assert two["examples_sha256"] == alone["examples_sha256"]
    assert two["epochs"] == alone["epochs"] == 2


def test_two_processes_report_once(shared: dict[str, Path]):
    report = json.loads(shared["report"].read_text())
    assert report["status"] == "success"
    assert report["results"]["directory"] == str(shared["two"])


def test_two_processes_learn_as_one_does(shared: dict[str, Path]):
    # Batch normalization sees half a batch on each process, so the steps are not the same.
    metrics = [run_directory.read_metrics(shared[key]) for key in ("alone", "two")]
    assert metrics[0][0]["train_error"] == metrics[1][0]["train_error"]
    assert metrics[1][-1]["loss"] < metrics[1][1]["loss"]
    assert abs(metrics[0][1]["loss"] - metrics[1][1]["loss"]) < 0.5
