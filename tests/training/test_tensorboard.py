"""Curves for TensorBoard: what is written, and what is said where it is not installed."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from dlgen_cli.errors import DependencyError
from dlgen_cli.training import make_recipe, run
from dlgen_cli.training.tensorboard import writing_curves


class Writer:
    """Stands for torch's SummaryWriter."""

    written: list[tuple[str, float, int]]

    def __init__(self, directory: str) -> None:
        self.directory = directory
        type(self).written = []

    def __enter__(self):
        return self

    def __exit__(self, *_: object):
        return None

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.written.append((name, value, step))


def install(monkeypatch: pytest.MonkeyPatch, writer: object) -> None:
    module = ModuleType("torch.utils.tensorboard")
    if writer is not None:
        module.SummaryWriter = writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)


def test_every_epoch_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, Writer)
    recipe = make_recipe({"source": "digits", "epochs": 3, "until_train_error": -1})
    with writing_curves(tmp_path / "curves") as write:
        result = run(recipe, tmp_path / "run", progress=write)
    steps = [step for name, _, step in Writer.written if name == "error/test"]
    assert steps == [1, 2, 3]
    last = {name: value for name, value, step in Writer.written if step == 3}
    assert last["error/train"] == result.config["train_error"]
    assert last["error/test"] == result.config["test_error"]


def test_without_it_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, None)
    with (
        pytest.raises(DependencyError, match="tensorboard, which is not installed") as caught,
        writing_curves(tmp_path),
    ):
        pass
    assert "dlgen[tensorboard]" in caught.value.remedy
