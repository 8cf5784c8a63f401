"""The checkpoint directory: typed facts, whole files, the same bytes each time."""

import hashlib
import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file

from dlgen_cli.checkpoints.formats.detection import is_run_directory
from dlgen_cli.checkpoints.runs import posterior_file as posterior
from dlgen_cli.checkpoints.runs import run_directory
from dlgen_cli.checkpoints.runs.posterior_file import StoredPosterior
from dlgen_cli.checkpoints.runs.run_config import facts_of
from dlgen_cli.errors import CheckpointError, TrainingError


def config() -> dict[str, Any]:
    return {
        "schema": "dlgen-run-1",
        "dlgen_version": "0",
        "architecture": "mlp",
        "architecture_arguments": {"width": 2},
        "dataset": "standard",
        "adversary": None,
        "source": "digits",
        "examples": 3,
        "counts": {
            "examples": 3,
            "altered": 0,
            "holdout": 1,
            "test": 2,
            "classes": 2,
            "parameters": 4,
        },
        "input": {"shape": [1, 1, 2], "scale": 0.5, "norm_bound": 1.0},
        "seed": 0,
        "optimizer": {"name": "sgd", "arguments": {"lr": 0.1}, "batch_size": 1},
        "stop": {"epochs": 5, "until_train_error": None},
        "epochs": 5,
        "clip_linf": None,
        "linf_norm": 1.0,
        "device": "cpu",
        "examples_sha256": "00",
        "train_error": 0.0,
        "test_error": 0.5,
        "holdout_error": 0,
        "versions": {"torch": "0"},
    }


def contents(value: float = 1.0) -> run_directory.RunContents:
    return run_directory.RunContents(
        config=config(),
        model={"layers.0.weight": torch.full((2, 2), value)},
        init={"layers.0.weight": torch.zeros(2, 2)},
        labels={"labels": torch.tensor([0, 1, 1]), "indices": torch.tensor([4, -1, 2])},
        metrics=[{"epoch": 0, "loss": None}, {"epoch": 1, "loss": 0.25}],
        resume={"epoch": 1, "model": {"w": torch.ones(2)}},
        card="# A run\n",
    )


def test_a_directory_reads_back_as_it_was_written(tmp_path: Path):
    written, directory = contents(), tmp_path / "run"
    run_directory.write_run_directory(directory, written)
    assert is_run_directory(directory)
    assert facts_of(run_directory.read_config(directory)) == written.config
    assert run_directory.read_metrics(directory) == written.metrics
    assert run_directory.read_resume(directory)["epoch"] == 1
    for name, tensor in run_directory.read_labels(directory).items():
        assert torch.equal(tensor, written.labels[name])
    assert torch.equal(
        load_file(directory / "model.safetensors")["layers.0.weight"], torch.ones(2, 2)
    )
    assert (directory / "README.md").read_text() == "# A run\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_files_can_be_read_by_others_as_usual(tmp_path: Path):
    run_directory.write_run_directory(tmp_path / "run", contents())
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "run").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_directory, "_serialize", fail)
    with pytest.raises(TrainingError, match="No space left"):
        run_directory.write_run_directory(tmp_path / "run", contents())
    with pytest.raises(TrainingError, match="No space left"):
        run_directory.write_partial(tmp_path / "run", {})
    assert not list(tmp_path.iterdir())


def test_a_run_is_replaced_only_when_asked(tmp_path: Path):
    directory = tmp_path / "run"
    run_directory.write_run_directory(directory, contents())
    with pytest.raises(TrainingError, match="cannot be written"):
        run_directory.write_run_directory(directory, contents(2.0))
    assert load_file(directory / "model.safetensors")["layers.0.weight"].eq(1).all()
    run_directory.write_run_directory(directory, contents(2.0), replace=True)
    assert load_file(directory / "model.safetensors")["layers.0.weight"].eq(2).all()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_unfinished_state_is_replaced_and_removed(tmp_path: Path):
    directory = tmp_path / "run"
    for epoch in (0, 1):
        run_directory.write_partial(directory, {"epoch": epoch}, [{"epoch": epoch}])
        partial = run_directory.partial_directory(directory)
        assert run_directory.read_resume(partial)["epoch"] == epoch
        assert run_directory.read_metrics(partial) == [{"epoch": epoch}]
        assert {path.name for path in partial.iterdir()} == {"resume.pt", "metrics.jsonl"}
    assert not directory.exists()
    run_directory.write_run_directory(directory, contents())
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_reading_an_unfinished_run_says_how_to_finish_it(tmp_path: Path):
    run_directory.write_partial(tmp_path / "run", {"epoch": 0})
    with pytest.raises(CheckpointError, match=r"interrupted.*--resume"):
        run_directory.read_config(tmp_path / "run")


@pytest.mark.parametrize("read", ["config", "labels", "metrics", "resume"])
def test_a_missing_file_is_named(tmp_path: Path, read: str):
    with pytest.raises(CheckpointError, match=f"holds no {read}"):
        getattr(run_directory, f"read_{read}")(tmp_path)


@pytest.mark.parametrize(
    ("read", "file"),
    [
        ("config", "config.json"),
        ("labels", "labels.safetensors"),
        ("metrics", "metrics.jsonl"),
        ("resume", "resume.pt"),
    ],
)
@pytest.mark.parametrize("damage", [b"", b"\xff\xfe{", b"PK\x03\x04broken"])
def test_a_damaged_file_is_an_error(tmp_path: Path, read: str, file: str, damage: bytes):
    (tmp_path / file).write_bytes(damage)
    if (read, damage) == ("metrics", b""):
        assert run_directory.read_metrics(tmp_path) == []
        return
    with pytest.raises(CheckpointError, match=file):
        getattr(run_directory, f"read_{read}")(tmp_path)


def test_a_pickle_is_not_run(tmp_path: Path):
    torch.save({"path": Path("x")}, tmp_path / "resume.pt")
    with pytest.raises(CheckpointError, match=r"resume\.pt cannot be read"):
        run_directory.read_resume(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", "other", "schema 'other'"),
        ("examples", "3", r"Expected `int`, got `str` - at `\$\.examples`"),
        ("examples", True, r"got `bool` - at `\$\.examples`"),
        ("counts.test", None, r"got `null` - at `\$\.counts\.test`"),
        ("clip_linf", "wide", r"Expected `float \| null`, got `str`"),
        ("input", [1], r"Expected `object`, got `array` - at `\$\.input`"),
        ("input.shape", [], "length >= 1"),
        ("input.shape", [0, 8], r"`int` >= 1 - at `\$\.input\.shape\[0\]`"),
        ("input.norm_bound", 0, r"`float` > 0\.0 - at `\$\.input\.norm_bound`"),
        ("input.norm_bound", float("inf"), r"`float` <= 1\.7976931348623157e\+308"),
        ("input.norm_bound", float("nan"), r"`float` > 0\.0"),
        ("computation", 3, r"Expected `object`, got `int` - at `\$\.computation`"),
        ("coded", {"predictor": "code"}, r"required field `dim` - at `\$\.coded`"),
        ("classes", ["a", 3], r"Expected `str`, got `int` - at `\$\.classes\[1\]`"),
    ],
)
def test_a_wrong_type_is_named(tmp_path: Path, path: str, value: object, message: str):
    facts = config()
    *parents, last = path.split(".")
    place = facts
    for parent in parents:
        place = place[parent]
    place[last] = value
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=message):
        run_directory.read_config(tmp_path)


@pytest.mark.parametrize("key", [key for key in config() if key != "schema"])
def test_a_missing_key_is_named(tmp_path: Path, key: str):
    facts = config()
    del facts[key]
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=f"missing required field `{key}`"):
        run_directory.read_config(tmp_path)


def test_safetensors_bytes_do_not_depend_on_the_process():
    script = (
        "import hashlib, torch\n"
        "from dlgen_cli.checkpoints.runs.run_directory import serialize_safetensors\n"
        "data = serialize_safetensors({'b': torch.ones(3), 'a': torch.zeros(2)},"
        " {k: k for k in 'zyxwv'})\n"
        "print(hashlib.sha256(data).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
    ours = run_directory.serialize_safetensors(tensors, {k: k for k in "zyxwv"})
    assert done.stdout.decode().strip() == hashlib.sha256(ours).hexdigest()


def test_the_header_is_aligned_sorted_and_valid():
    tensors = {"b": torch.arange(3.0), "a": torch.tensor([7]), "empty": torch.zeros(0)}
    data = run_directory.serialize_safetensors(tensors, {"zeta": "größe", "alpha": "1"})
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header["__metadata__"] == {"alpha": "1", "zeta": "größe"}
    assert list(header) == sorted(header)
    for name, tensor in load(data).items():
        assert torch.equal(tensor, tensors[name])


def test_a_posterior_stands_in_the_directory(tmp_path: Path):
    spread = StoredPosterior(
        exponents={"layers.0.weight": 0}, spreads={"layers.0.weight": torch.tensor(0.5)}
    )
    anchor = {
        "name": "a", "sha256": "", "examples": 0, "hashes_sha256": "", "origin": "initial"
    }  # fmt: skip
    facts = {**config(), "objective": "pac-bayes", "anchor": anchor}
    written = replace(
        contents(), config=facts, files={posterior.POSTERIOR_FILE: posterior.serialize(spread)}
    )
    run_directory.write_run_directory(tmp_path / "run", written)
    found = posterior.read(tmp_path / "run", {"layers.0.weight": (2, 2)})
    assert found.exponents == {"layers.0.weight": 0}
    assert facts_of(run_directory.read_config(tmp_path / "run")) == facts
    for odd in ({**anchor, "examples": "3"}, {"name": "a"}, 3):
        facts["anchor"] = odd
        (tmp_path / "run" / "config.json").write_text(json.dumps(facts))
        with pytest.raises(CheckpointError, match=r"at `\$\.anchor"):
            run_directory.read_config(tmp_path / "run")
