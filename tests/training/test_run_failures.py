"""Runs that cannot start or cannot go on: one clear line, and the last good state stands."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.errors import TrainingError, UsageError
from dlgen_cli.training import Progress, make_recipe, resume, run
from dlgen_cli.training import loop as training_loop


def recipe(**given: Any):
    return make_recipe({"source": "digits", "device": "cpu", **given})


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def interrupt(state: Progress) -> None:
    if state.epoch == 1 and not state.share:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"holdout": 1442}, "leaves nothing to train on"),
        ({"width": 32}, "width 32 is smaller than its 64 inputs"),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(
    tmp_path: Path, given: dict[str, Any], message: str
):
    with pytest.raises(UsageError, match=message):
        run(recipe(**given), tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UsageError, match=f"--device {device} was given"):
        run(recipe(device=device), tmp_path / "run")


def test_divergence_names_the_epoch_and_leaves_nothing_behind(tmp_path: Path):
    settings = recipe(optimizer="sgd", learning_rate=1e30, until_train_error=-1)
    with pytest.raises(TrainingError, match=r"diverged in epoch 1\b.*smaller --lr"):
        run(settings, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_divergence_later_on_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = recipe(epochs=4, until_train_error=-1)
    whole = run(settings, tmp_path / "whole")
    original = training_loop.train_epoch

    def broken(network: torch.nn.Module, *arguments: Any, **named: Any):
        summary = original(network, *arguments, **named)
        if arguments[2].epoch == 3:
            with torch.no_grad():
                next(network.parameters())[0, 0] = float("nan")
        return summary

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["dlgen_cli.training.run"], "train_epoch", broken)
        with pytest.raises(TrainingError, match=r"diverged in epoch 3\b.*last good state is kept"):
            run(settings, tmp_path / "run", save_seconds=0)
    assert run_directory.read_resume(tmp_path / "run.partial")["epoch"] == 2
    resume(tmp_path / "run")
    assert weights(tmp_path / "run") == weights(whole.directory)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_is_one_line_and_the_last_good_state_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = tempfile.mkstemp
    writes = 0

    def fill(*, dir: Path, prefix: str) -> tuple[int, str]:  # noqa: A002  the library's name
        nonlocal writes
        descriptor, name = made(dir=dir, prefix=prefix)
        writes += "resume.pt" in prefix
        if writes > 2:  # beside the first one, which came with its folder
            os.close(descriptor)
            descriptor = os.open("/dev/full", os.O_WRONLY)
        return descriptor, name

    settings = recipe(epochs=6, until_train_error=-1)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", fill)
        with pytest.raises(TrainingError, match=r"cannot be written: No space left on device"):
            run(settings, tmp_path / "run", save_seconds=0)
    partial = tmp_path / "run.partial"
    assert sorted(path.name for path in partial.iterdir()) == ["metrics.jsonl", "resume.pt"]
    assert run_directory.read_resume(partial)["epoch"] == 2
    resume(tmp_path / "run")
    assert weights(tmp_path / "run") == weights(run(settings, tmp_path / "whole").directory)


def test_a_taken_directory_is_refused_before_training(tmp_path: Path):
    settings = recipe(epochs=1)
    run(settings, tmp_path / "done")
    with pytest.raises(TrainingError, match=r"finished run.*--resume"):
        run(settings, tmp_path / "done")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"not a run of dlgen train \(it holds notes.txt\)"):
        run(settings, tmp_path / "notes")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match="is a file"):
        run(settings, tmp_path / "file")
    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path / "half", progress=interrupt)
    with pytest.raises(TrainingError, match=r"unfinished run.*--resume"):
        run(settings, tmp_path / "half")
