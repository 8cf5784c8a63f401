"""Whole runs: what is learned, what is written, what an interruption changes."""

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dlgen_cli import architectures
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.datasets import hash_images, load_source
from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.training import Progress, make_recipe, resume, run
from dlgen_cli.training.examples import prepare_examples

REPEATABLE = (
    "model.safetensors",
    "init.safetensors",
    "labels.safetensors",
    "config.json",
    "metrics.jsonl",
    "README.md",
)
REGIMES = ("standard", "mixed-random", "mixed-adversarial", "random")


def recipe(**given: Any):
    return make_recipe({"source": "digits", "device": "cpu", **given})


def contents(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in REPEATABLE}


def stop_after(epoch: int):
    def interrupt(state: Progress) -> None:
        if state.epoch == epoch and not state.share:
            raise KeyboardInterrupt

    return interrupt


@pytest.fixture(scope="module")
def regimes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The four regimes, each with the defaults."""
    root = tmp_path_factory.mktemp("regimes")
    for name in REGIMES:
        run(recipe(dataset=name), root / name)
    return {name: root / name for name in REGIMES}


def test_every_regime_reaches_training_error_zero(regimes: dict[str, Path]):
    for directory in regimes.values():
        config = run_directory.read_config(directory)
        assert config["train_error"] == 0
        assert config["epochs"] < config["stop"]["epochs"]


def test_test_errors_are_ordered_as_the_labels_are_spoiled(regimes: dict[str, Path]):
    errors = [run_directory.read_config(regimes[name])["test_error"] for name in REGIMES]
    assert errors == sorted(errors)
    assert errors[0] < 0.06
    assert 0.3 < errors[2] < 0.7
    assert errors[3] > 0.8


@pytest.mark.parametrize("name", REGIMES)
def test_the_recorded_errors_are_those_of_the_stored_network(regimes: dict[str, Path], name: str):
    config = run_directory.read_config(regimes[name])
    examples = prepare_examples(recipe(dataset=name))
    network = architectures.build(config["architecture"], **config["architecture_arguments"])
    network.load_state_dict(load_file(regimes[name] / "model.safetensors"))
    labels = run_directory.read_labels(regimes[name])["labels"]
    train = (network(examples.train.images * examples.scale).argmax(1) != labels).double().mean()
    test = (
        (network(examples.test.images * examples.scale).argmax(1) != examples.test.labels)
        .double()
        .mean()
    )
    assert float(train) == config["train_error"]
    assert float(test) == pytest.approx(config["test_error"], abs=1e-12)


@pytest.mark.parametrize("name", REGIMES)
def test_labels_and_indices_lead_back_to_the_source(regimes: dict[str, Path], name: str):
    source = load_source("digits")
    truth = dict(zip(source.indices.tolist(), source.train.labels.tolist(), strict=True))
    recorded = run_directory.read_labels(regimes[name])
    m = len(source.train.labels)
    assert recorded["labels"].dtype == recorded["indices"].dtype == torch.int64
    assert recorded["altered"].dtype == torch.uint8
    assert len(recorded["labels"]) == len(recorded["indices"]) == len(recorded["altered"]) == m
    altered = {"standard": 0, "random": m}.get(name, m // 2)
    assert int(recorded["altered"].sum()) == altered
    synthetic = 0 if name in {"standard", "mixed-adversarial"} else altered
    assert int((recorded["indices"] == -1).sum()) == synthetic
    for label, index, changed in zip(
        *(recorded[key].tolist() for key in ("labels", "indices", "altered")), strict=True
    ):
        if index >= 0:
            assert label == (truth[index] + changed) % 10


def test_the_input_facts_are_recorded(regimes: dict[str, Path]):
    config = run_directory.read_config(regimes["standard"])
    assert config["input"] == {"shape": [1, 8, 8], "scale": 0.125, "norm_bound": 1.0}


def test_the_weight_files_carry_the_facts(regimes: dict[str, Path]):
    from safetensors import safe_open

    for name in REGIMES:
        text = json.loads((regimes[name] / "config.json").read_text())
        for file, digest in text.pop("files").items():
            assert hashlib.sha256((regimes[name] / file).read_bytes()).hexdigest() == digest
        for file, role in (("model", "trained"), ("init", "initial")):
            with safe_open(regimes[name] / f"{file}.safetensors", "pt") as handle:
                metadata = handle.metadata()
            assert json.loads(metadata["dlgen"]) == text
            assert metadata["architecture"] == "mlp"
            assert int(metadata["examples"]) == len(
                run_directory.read_labels(regimes[name])["labels"]
            )
            assert metadata["tensors"] == role


def test_one_metric_for_each_epoch(regimes: dict[str, Path]):
    config = run_directory.read_config(regimes["standard"])
    metrics = run_directory.read_metrics(regimes["standard"])
    assert [record["epoch"] for record in metrics] == list(range(config["epochs"] + 1))
    assert metrics[-1]["train_error"] == 0
    assert all(record["train_error"] > 0 for record in metrics[:-1])
    assert metrics[0]["loss"] is None


def test_same_seed_same_bytes_whatever_the_global_state(tmp_path: Path):
    settings = recipe(dataset="mixed-random", epochs=3, holdout=10, clip_linf=0.5)
    threads, before = torch.get_num_threads(), torch.random.get_rng_state()
    run(settings, tmp_path / "a")
    assert torch.get_num_threads() == threads
    assert torch.equal(before, torch.random.get_rng_state())
    try:
        torch.set_num_threads(threads + 1)
        torch.manual_seed(99)
        run(settings, tmp_path / "b")
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(before)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_gives_another_run(tmp_path: Path):
    for seed in (0, 1):
        run(recipe(dataset="random", epochs=1, seed=seed), tmp_path / str(seed))
    first, second = contents(tmp_path / "0"), contents(tmp_path / "1")
    for name in ("model.safetensors", "init.safetensors", "labels.safetensors"):
        assert first[name] != second[name]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("save_seconds", [0.0, 1e9])
def test_interrupted_and_resumed_is_uninterrupted(
    tmp_path: Path, optimizer: str, save_seconds: float
):
    settings = recipe(dataset="mixed-adversarial", optimizer=optimizer, epochs=7, holdout=9)
    run(settings, tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        run(settings, broken, progress=stop_after(3), save_seconds=save_seconds)
    assert not broken.exists()
    with pytest.raises(KeyboardInterrupt):
        resume(broken, progress=stop_after(5), save_seconds=save_seconds)
    result = resume(broken)
    assert result.epochs_now == (2 if save_seconds == 0 else 7)
    assert contents(broken) == contents(tmp_path / "whole")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["broken", "whole"]


def test_a_finished_run_goes_on_to_more_epochs(tmp_path: Path):
    run(recipe(epochs=6, until_train_error=-1), tmp_path / "long")
    run(recipe(epochs=2, until_train_error=-1), tmp_path / "short")
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "short", {"epochs": 6}, progress=stop_after(4), save_seconds=0)
    assert run_directory.read_config(tmp_path / "short")["epochs"] == 2
    resume(tmp_path / "short")
    assert contents(tmp_path / "short") == contents(tmp_path / "long")


def test_nothing_is_left_to_do(tmp_path: Path):
    run(recipe(epochs=2), tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    result = resume(tmp_path / "run")
    assert result.epochs_now == 0
    assert result.images_per_second is None
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}


def test_resume_refuses_what_contradicts_the_run(tmp_path: Path):
    run(recipe(epochs=2), tmp_path / "run")
    with pytest.raises(UsageError, match="started with --seed 0, not 5"):
        resume(tmp_path / "run", {"seed": 5})
    with pytest.raises(UsageError, match="already has 2 epochs"):
        resume(tmp_path / "run", {"epochs": 1})
    with pytest.raises(UsageError, match="no run to resume"):
        resume(tmp_path / "other")


def test_resume_refuses_changed_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run(recipe(epochs=1), tmp_path / "run")
    monkeypatch.setattr("dlgen_cli.datasets.digits.TEST_STRIDE", 4)
    with pytest.raises(DataError, match="differ"):
        resume(tmp_path / "run", {"epochs": 2})


def test_the_state_loads_without_running_code(tmp_path: Path):
    run(recipe(epochs=1), tmp_path / "run")
    data = (tmp_path / "run" / "resume.pt").read_bytes()
    state = torch.load(io.BytesIO(data), weights_only=True)
    assert state["epoch"] == 1


def test_the_holdout_is_never_trained_on(tmp_path: Path):
    result = run(recipe(dataset="mixed-adversarial", holdout=100, epochs=2), tmp_path / "run")
    source = load_source("digits")
    recorded = run_directory.read_labels(tmp_path / "run")
    held, used = set(recorded["holdout_indices"].tolist()), set(recorded["indices"].tolist())
    assert len(held) == 100
    assert not held & used
    assert held | used == set(source.indices.tolist())
    counts = result.config["counts"]
    assert result.config["examples"] == counts["examples"] == len(source.train.labels) - 100
    assert counts["altered"] == counts["examples"] // 2
    network = architectures.build("mlp")
    network.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    rows = torch.isin(source.indices, recorded["holdout_indices"])
    wrong = network(source.train.images[rows] / 8).argmax(1) != source.train.labels[rows]
    assert result.config["holdout_error"] == int(wrong.sum()) / 100


def test_without_a_holdout_there_is_no_holdout_error(tmp_path: Path):
    run(recipe(epochs=0), tmp_path / "run")
    assert run_directory.read_config(tmp_path / "run")["holdout_error"] is None
    assert len(run_directory.read_labels(tmp_path / "run")["holdout_indices"]) == 0


def test_zero_epochs_leave_the_initial_network(tmp_path: Path):
    run(recipe(epochs=0), tmp_path / "run")
    model, init = (
        load_file(tmp_path / "run" / f"{name}.safetensors") for name in ("model", "init")
    )
    assert all(torch.equal(model[name], init[name]) for name in init)


def test_the_clipped_run_reaches_zero_within_its_box(tmp_path: Path):
    config = run(recipe(clip_linf=0.5), tmp_path / "run").config
    assert config["train_error"] == 0
    for name in ("model", "init"):
        tensors = load_file(tmp_path / "run" / f"{name}.safetensors").values()
        norm = max(float(tensor.abs().max()) for tensor in tensors)
        assert norm <= 0.5
        if name == "model":
            assert norm == config["linf_norm"]


def test_the_stop_rule_takes_the_first_epoch_at_the_limit(tmp_path: Path):
    config = run(recipe(until_train_error=0.2), tmp_path / "run").config
    metrics = run_directory.read_metrics(tmp_path / "run")
    assert config["train_error"] <= 0.2
    assert all(record["train_error"] > 0.2 for record in metrics[:-1])


def test_another_width_and_depth(tmp_path: Path):
    config = run(recipe(width=80, depth=2, epochs=1), tmp_path / "run").config
    assert config["counts"]["parameters"] == 2 * 80 * 80
    assert config["architecture_arguments"] == {
        "inputs": 64,
        "width": 80,
        "depth": 2,
        "classes": 10,
    }


def test_an_empty_directory_is_taken_and_parents_are_made(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    run(recipe(epochs=0), tmp_path / "empty")
    run(recipe(epochs=0), tmp_path / "deep" / "er" / "run")
    assert run_directory.is_run_directory(tmp_path / "empty")
    assert run_directory.is_run_directory(tmp_path / "deep" / "er" / "run")


def test_progress_reports_every_epoch(tmp_path: Path):
    states: list[Progress] = []
    run(recipe(epochs=3), tmp_path / "run", progress=states.append)
    after = [state for state in states if not state.share]
    within = [state for state in states if state.share]
    assert [state.epoch for state in after] == [1, 2, 3]
    assert all(state.epochs == 3 and state.images_per_second > 0 for state in states)
    assert all(state.seconds_left is not None and state.seconds_left >= 0 for state in states)
    assert after[-1].seconds_left == 0
    assert len(within) == 3 * (math.ceil(1442 / 128) - 1)
    assert all(0 < state.share < 1 for state in within)
    metrics = run_directory.read_metrics(tmp_path / "run")
    assert [state.train_error for state in after] == [m["train_error"] for m in metrics[1:]]


def test_errors_are_null_between_evaluations(tmp_path: Path):
    config = run(recipe(epochs=7, evaluate_every=3, until_train_error=-1), tmp_path / "run").config
    metrics = run_directory.read_metrics(tmp_path / "run")
    evaluated = [one["epoch"] for one in metrics if one["train_error"] is not None]
    assert evaluated == [0, 3, 6, 7]
    assert config["train_error"] == metrics[-1]["train_error"]
    assert all(0 <= one["running_error"] <= 1 for one in metrics[1:])


def test_m_takes_exactly_so_many_examples(tmp_path: Path):
    settings = recipe(dataset="mixed-random", m=301, holdout=100, epochs=1)
    config = run(settings, tmp_path / "run").config
    recorded = run_directory.read_labels(tmp_path / "run")
    assert config["examples"] == len(recorded["labels"]) == 301
    assert config["counts"]["altered"] == int((recorded["indices"] == -1).sum()) == 150
    used = {index for index in recorded["indices"].tolist() if index >= 0}
    assert not used & set(recorded["holdout_indices"].tolist())
    with pytest.raises(UsageError, match="--m 1400 asks for more than the 1342"):
        run(recipe(m=1400, holdout=100), tmp_path / "other")


def test_hashes_lead_back_to_the_images(tmp_path: Path):
    run(recipe(dataset="mixed-random", holdout=100, epochs=0), tmp_path / "run")
    recorded = run_directory.read_labels(tmp_path / "run")
    source = load_source("digits")
    by_index = dict(zip(source.indices.tolist(), hash_images(source.train.images), strict=True))
    for index, found in zip(recorded["indices"].tolist(), recorded["image_hashes"], strict=True):
        if index >= 0:
            assert torch.equal(found, by_index[index])
    for index, found in zip(
        recorded["holdout_indices"].tolist(), recorded["holdout_hashes"], strict=True
    ):
        assert torch.equal(found, by_index[index])
