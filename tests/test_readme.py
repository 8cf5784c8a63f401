"""The README: every command that it shows runs as printed and prints what it shows."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlgen_cli.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"```console\n\$ dlgen (.+?)\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), SESSIONS)
def test_a_session_prints_what_is_shown(command, shown, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0
    printed = iter(result.stdout.splitlines())
    for line in shown.splitlines():
        assert line == "…" or line in printed, line


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_an_example_in_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # the examples are our own


def test_the_table_lists_every_command():
    listed = set(re.findall(r"^\| `dlgen ([\w-]+)", README, flags=re.MULTILINE))
    commands = {command.name for command in app.registered_commands}
    assert listed == commands | {group.name for group in app.registered_groups}


def test_the_table_lists_every_theorem():
    source = "".join(path.read_text() for path in (ROOT / "src/dlgen_cli/bounds").glob("*.py"))
    theorems = set(re.findall(r'"((?:compression|pac_bayes|rademacher|holdout)\.\w+)"', source))
    assert theorems <= set(re.findall(r"`([\w.]+)`", README))
    assert len(theorems) == 14
