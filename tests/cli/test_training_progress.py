"""Progress of a run goes to standard error."""

import io
import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from dlgen_cli.cli.command import as_command
from dlgen_cli.cli.objectives import TrainCommand
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.train import train
from dlgen_cli.cli.training_progress import show_progress


def invoke(*words: str) -> Result:
    app = typer.Typer()
    app.command()(as_command(train, TrainCommand))
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_goes_to_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, terminal: bool
):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=80)
    monkeypatch.setattr("dlgen_cli.cli.console.stderr", lambda: console)
    monkeypatch.setattr("dlgen_cli.cli.training_progress._SECONDS_BETWEEN_LINES", 0)
    words = ("--source", "digits", "--epochs", "2", "--json", "--out")
    result = invoke(*words, str(tmp_path / "a"))
    assert json.loads(result.stdout)["status"] == "success"
    assert "epoch" in screen.getvalue()
    assert "2/2" in screen.getvalue()
    assert "train error" in screen.getvalue()
    screen.truncate(0)
    invoke(*words, str(tmp_path / "b"), "-q")
    assert screen.getvalue() == ""


def test_work_beside_the_epochs_is_shown(monkeypatch: pytest.MonkeyPatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr("dlgen_cli.cli.console.stderr", lambda: console)
    with show_progress(ReportOptions()) as shown:
        assert shown.work is not None
        shown.work("decoding images", 1, 4)
    assert "decoding images" in screen.getvalue()
    assert "25% done, about" in screen.getvalue()
    with show_progress(ReportOptions(quiet=True)) as shown:
        assert (shown.work, shown.epochs) == (None, None)
