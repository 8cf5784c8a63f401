"""Streams and files: what is written where, and never over what is read."""

import json

import pytest
import torch
from reports import strict_json
from typer.testing import CliRunner

from dlgen_cli.cli.app import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("format_", ["table", "markdown", "csv", "html", "json"])
def test_every_format_goes_to_stdout_or_to_a_file(tmp_path, digits_mlp, format_):
    result = run("compress-bound", digits_mlp, "--format", format_)
    assert result.exit_code == 0
    assert "compression.all_ranks" in result.stdout
    suffix = {"table": "txt", "markdown": "md"}.get(format_, format_)
    path = tmp_path / f"report.{suffix}"
    result = run("compress-bound", digits_mlp, "--output", path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "compression.all_ranks" in path.read_text()
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_outputs_never_overwrite_what_is_read_or_each_other(tmp_path, digits_mlp):
    path = tmp_path / "x.pt"
    torch.save({"a.weight": torch.eye(3)}, path)
    before = path.read_bytes()
    for words in (
        ["spectra", path, "--json", "--output", path],
        ["compress", path, "--out", path],
        ["compress", digits_mlp, "--out", tmp_path / "y", "--json", "--output", tmp_path / "y"],
        ["compress", path, "--out", tmp_path / "y", "--output", tmp_path / "no" / "r.json"],
        ["compress-bound", path, "--plot", tmp_path / "p.png", "--output", "/no/r.json"],
    ):
        assert run(*words).exit_code == 2
        assert path.read_bytes() == before
        assert [one.name for one in tmp_path.iterdir()] == ["x.pt"]


def test_a_link_stays_a_link(tmp_path, digits_mlp):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert run("spectra", digits_mlp, "--output", tmp_path / "link.json").exit_code == 0
    assert (tmp_path / "link.json").is_symlink()
    assert strict_json((tmp_path / "real.json").read_text())["status"] == "success"


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path):
    torch.save({"a\x1b[31m.weight": torch.eye(2)}, tmp_path / "x.pt")
    result = run("spectra", tmp_path / "x.pt", "--include", "nothing*")
    assert result.exit_code == 2
    assert "\x1b[31m" not in result.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_of_few_characters_gets_them_in_ascii(digits_mlp, encoding):
    runner = CliRunner(charset=encoding)
    words = ["rademacher", str(digits_mlp)]
    table = runner.invoke(app, words)
    assert table.exit_code == 0, table.output
    assert "value <=" in table.stdout
    assert "||theta||inf" in table.stdout
    report = runner.invoke(app, [*words, "--json"])
    assert json.loads(report.stdout) == json.loads(run(*words, "--json").stdout)
    for format_ in ("html", "markdown", "csv"):
        assert runner.invoke(app, [*words, "--format", format_]).exit_code == 0
    assert runner.invoke(app, ["explain", "compression.stored"]).exit_code == 0
    assert runner.invoke(app, ["audit", "--help"]).exit_code == 0
    failed = runner.invoke(app, ["spectra", "‖.pt"])
    assert (failed.exit_code, failed.stderr.startswith("error: ||.pt")) == (2, True)


def test_a_format_against_the_suffix_of_the_output_is_refused(tmp_path, digits_mlp):
    for name, words in (("r.json", ["--format", "csv"]), ("r.html", ["--json"])):
        path = tmp_path / name
        refused = run("rademacher", digits_mlp, "--output", path, *words)
        assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
        assert f"{name} names the format" in refused.stderr
        assert not path.exists()
    for name, words in (("r.json", ["--json"]), ("r.data", ["--format", "csv"])):
        assert run("rademacher", digits_mlp, "-o", tmp_path / name, *words).exit_code == 0
        assert (tmp_path / name).exists()
