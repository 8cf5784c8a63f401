"""Norms against the step: where steps come from, and what is measured at each."""

import json

import numpy as np
import pytest
import torch

from dlgen_cli import api
from dlgen_cli.errors import UsageError


@pytest.fixture
def checkpoints(tmp_path):
    """Three checkpoints of one network, whose weight at step s is s times the first."""
    base = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    paths = []
    for step in (100, 20, 3):
        path = tmp_path / f"net-8x8_step{step}.pt"
        torch.save({"fc.weight": base * step}, path)
        paths.append(path)
    return base, paths


def test_norms_are_those_of_each_file_in_the_order_of_the_steps(checkpoints):
    base, paths = checkpoints
    report = api.measure_series(paths)
    assert report.results["step_from"] == "name"
    rows = report.results["series"]
    assert [row["step"] for row in rows] == [3, 20, 100]
    for row in rows:
        found = row["layers"]["fc.weight"]["spectral_norm"]
        exact = np.linalg.norm((base * row["step"]).double().numpy(), 2)
        assert found.lower <= exact <= found.upper
        assert found.upper <= exact * 1.001
    assert report.record.provenance.checkpoint == str(paths[0])


def test_a_run_tells_its_epochs_and_its_initialization_stands_at_0(digits_mlp):
    report = api.measure_series([digits_mlp, digits_mlp / "init.safetensors"])
    epochs = json.loads((digits_mlp / "config.json").read_text())["epochs"]
    assert report.results["step_from"] == "record"
    assert [row["step"] for row in report.results["series"]] == [0, epochs]


def test_without_numbers_the_order_counts(checkpoints, tmp_path):
    _, paths = checkpoints
    named = [path.rename(tmp_path / f"{name}.pt") for path, name in zip(paths, "cab", strict=True)]
    report = api.measure_series(named)
    assert report.results["step_from"] == "order"
    assert [row["step"] for row in report.results["series"]] == [0, 1, 2]


def test_folders_give_the_number_where_files_have_none(checkpoints, tmp_path):
    _, paths = checkpoints
    moved = []
    for path, step in zip(paths, (30, 10, 20), strict=True):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        moved.append(path.rename(folder / "model.pt"))
    assert [row["step"] for row in api.measure_series(moved).results["series"]] == [10, 20, 30]


def test_one_checkpoint_and_strangers_are_refused(checkpoints, tmp_path):
    _, paths = checkpoints
    with pytest.raises(UsageError, match="two or more"):
        api.measure_series(paths[:1])
    torch.save({"other.weight": torch.ones(3, 3)}, tmp_path / "other-7.pt")
    with pytest.raises(UsageError, match="share no layer"):
        api.measure_series([paths[0], tmp_path / "other-7.pt"])
