"""The contract of the command line: streams, exit codes, the envelope."""

import subprocess
import sys

from typer.testing import CliRunner

from dlgen_cli.cli.app import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_version_and_help():
    shown = run("--version").stdout
    assert shown.startswith("dlgen ")
    assert run("-V").stdout == run("version").stdout == shown
    assert run("-h").stdout == run("--help").stdout
    assert "compress-bound" in run("--help").stdout
    assert run().exit_code == 2


def test_the_module_runs_and_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['dlgen', 'audit', '--help']\n"
        "from dlgen_cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'matplotlib', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run(
        [sys.executable, "-m", "dlgen_cli", "--version"], check=True, capture_output=True, text=True
    )
    assert shown.stdout.startswith("dlgen ")


def test_a_closed_pipe_is_no_failure_of_ours(tmp_path, digits_mlp):
    report = tmp_path / "report.json"
    assert run("compress-bound", digits_mlp, "--output", report).exit_code == 0
    words = [sys.executable, "-m", "dlgen_cli", "verify", str(report)]  # starts without torch
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
