"""Runs that go on from given weights: what they begin at, and what stays on record."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.trained_on import trained_on
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.pac_bayes import anchor_paths
from dlgen_cli.training import Progress, make_recipe, resume, run


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 300 digits."""
    directory = tmp_path_factory.mktemp("first") / "run"
    run(make_recipe({"source": "digits", "device": "cpu", "m": 300, "epochs": 20}), directory)
    return directory


def later(first: Path, **given: object):
    settings = {"source": "digits", "device": "cpu", "start": first, "epochs": 3, "seed": 5}
    return make_recipe({**settings, "until_train_error": -1, **given})


def test_it_begins_at_the_given_weights_and_records_what_trained_them(first: Path, tmp_path: Path):
    run(later(first), tmp_path / "run")
    start, given = (
        load_file(tmp_path / "run" / "init.safetensors"),
        load_file(first / "model.safetensors"),
    )
    assert start.keys() == given.keys()
    assert all(torch.equal(start[name], given[name]) for name in given)
    config = run_directory.read_config(tmp_path / "run")
    assert (config["anchor"]["origin"], config["anchor"]["examples"]) == ("run", 300)
    own = run_directory.read_labels(tmp_path / "run")
    spent = run_directory.read_labels(first)["image_hashes"]
    assert torch.equal(own["anchor_hashes"], spent)
    found = trained_on(open_checkpoint(tmp_path / "run")).hashes
    assert len(found) == len(own["image_hashes"]) + 300


def test_its_initialization_is_not_passed_off_as_drawn(first: Path, tmp_path: Path):
    run(later(first, epochs=1), tmp_path / "run")
    assert anchor_paths(AuditOptions(checkpoint=first))[1]
    assert not anchor_paths(AuditOptions(checkpoint=tmp_path / "run"))[1]
    initial = trained_on(open_checkpoint(tmp_path / "run" / "init.safetensors"))
    assert initial.origin == "run"
    assert len(initial.hashes) == 300


def test_an_interrupted_one_goes_on_to_the_same_bytes(first: Path, tmp_path: Path):
    run(later(first), tmp_path / "whole")

    def interrupt(state: Progress) -> None:
        if state.epoch == 2 and not state.share:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(later(first), tmp_path / "run", progress=interrupt, save_seconds=0)
    resume(tmp_path / "run")
    for name in ("model.safetensors", "init.safetensors", "labels.safetensors", "config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_the_weights_fix_cannot_be_given(first: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="fix the width; 32 was given too"):
        later(first, width=32)
    lone = tmp_path / "model.safetensors"
    lone.write_bytes((first / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="but not on which"):
        later(lone)
    torch.save({"weight": torch.zeros(3, 3)}, tmp_path / "bare.pt")
    with pytest.raises(UsageError, match="does not record its architecture"):
        later(tmp_path / "bare.pt")
