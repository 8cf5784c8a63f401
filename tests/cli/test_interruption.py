"""Ctrl-C: one line and exit code 130, whatever the main thread waits for."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlgen_cli.cli.app import app

#: What an audit does when it is interrupted, never to end by itself.
STUCK = {
    "in Python": "time.sleep(10_000)",
    "outside of Python": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "waiting for workers": (
        "list(run_within(2, [1, 1], lambda _: threading.Event().wait(), workers=2))"
    ),
}


def stuck_audit(place: str, path: Path) -> list[str]:
    code = (
        "import hashlib, os, signal, sys, threading, time\n"
        "import dlgen_cli.audit.audit as module\n"
        "from dlgen_cli.__main__ import main\n"
        "from dlgen_cli.evidence.workers import run_within\n"
        "def stuck(*_, **__):\n"
        "    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        f"    {STUCK[place]}\n"
        "module.audit = stuck\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.argv = ['dlgen', 'audit', {str(path)!r}]\n"
        "main()\n"
    )
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("place", STUCK)
def test_a_stuck_audit_ends(place, digits_mlp):
    words = stuck_audit(place, digits_mlp)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Interrupted: no report was written. Large layers")


def test_no_bar_is_drawn_after_the_answer(digits_mlp):
    screen, terminal = pty.openpty()
    with subprocess.Popen(stuck_audit("waiting for workers", digits_mlp), stderr=terminal):
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # the other end is closed
            while part := os.read(screen, 4096):
                shown += part
    os.close(screen)
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}".encode() in shown
    assert shown.endswith(b"the same command goes on.\r\n")


def test_what_was_kept_depends_on_the_cache(monkeypatch, digits_mlp):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("dlgen_cli.audit.audit.audit", interrupted)
    result = CliRunner().invoke(app, ["spectra", str(digits_mlp), "--no-cache"])
    assert result.exit_code == 130
    assert result.stderr == "Interrupted: no report was written, and nothing was kept.\n"
