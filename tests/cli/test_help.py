"""Pages of help: in 80 columns, with examples that are commands."""

import pytest
from command_lines import commands
from typer.testing import CliRunner

from dlgen_cli.cli.app import app


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_page_fits_and_has_examples(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = CliRunner().invoke(app, [*path.split(), "--help"])
    assert outcome.exit_code == 0
    lines = outcome.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert ("─ Examples ─" in outcome.stdout) == (path != "implicit")
    helped = CliRunner().invoke(app, ["help", *path.split()])
    assert helped.stdout.rstrip() == outcome.stdout.rstrip()


EXAMPLES = [
    (path, line.strip().split("  ")[0])
    for path, one in commands()
    for line in (one.epilog or "").splitlines()
    if line.strip()
]


@pytest.mark.parametrize(("path", "example"), EXAMPLES)
def test_an_example_has_options_of_its_command(path, example):
    known = dict(commands())
    words = example.split()
    assert words[0] == "dlgen"
    length = 2 if words[1] == "implicit" else 1
    named = " ".join(words[1 : 1 + length])
    assert path in ("", named)
    options = {name for one in known[named].params for name in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= options
