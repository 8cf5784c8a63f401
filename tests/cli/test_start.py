"""What a command imports before it has something to do: nothing that takes seconds."""

import os
import subprocess
import sys

import pytest

#: Packages that take a second or more.
SLOW = ("torch._dynamo", "sympy", "sklearn", "scipy", "torchvision", "matplotlib")


def imported(words, names):
    """Exit code and stderr of a fresh process, and which of ``names`` it has imported."""
    code = (
        "import sys\n"
        "from dlgen_cli.__main__ import main\n"
        f"sys.argv = ['dlgen', *{[str(word) for word in words]!r}]\n"
        "code = 0\n"
        "try: main()\n"
        "except SystemExit as left: code = left.code\n"
        f"print([name for name in {list(names)!r} if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    *said, found = done.stderr.splitlines()
    return done.returncode, said, found


def test_an_audit_of_a_small_network_imports_torch_and_little_else(digits_mlp):
    assert imported(["audit", digits_mlp, "--quiet", "--b", "8"], SLOW) == (0, [], "[]")


MISTAKES = {
    "no file": (["spectra", "{tmp}/missing.pt"], "No such file"),
    "another kind of file": (["audit", "{tmp}/notes.txt"], "is no checkpoint"),
    "no anchors": (["pacbayes", "{run}", "--anchors", "{tmp}/missing.pt"], "No such file"),
    "no folder": (["audit", "{run}", "--output", "{tmp}/missing/a.html"], "there is no folder"),
    "a value": (["certify", "{run}", "--data", "digits", "--delta", "2"], "delta is 2.0"),
    "another value": (["compress-bound", "{run}", "--b", "0"], "b is 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_without_torch(mistake, tmp_path, digits_mlp):
    (tmp_path / "notes.txt").write_text("The weights are on the other disk.")
    words, expected = MISTAKES[mistake]
    words = [word.format(tmp=tmp_path, run=digits_mlp) for word in words]
    code, said, found = imported(words, ["torch", "numpy"])
    assert (code, len(said), found) == (2, 1, "[]")
    assert expected in said[0]


def completed(line):
    """What the shell is offered after a line, and whether torch was imported for it."""
    words = line.split(" ")
    code = (
        "import atexit, sys\n"
        "from dlgen_cli.__main__ import main\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "sys.argv = ['dlgen']\n"
        "main()\n"
    )
    environment = os.environ | {
        "_DLGEN_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr.split() == ["False"]
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dlgen comp", ["compress-bound", "compress"]),
        ("dlgen train --stem ", ["small", "medium", "imagenet"]),
        ("dlgen train --data d", ["digits"]),
        ("dlgen audit a.pt --format m", ["markdown"]),
        ("dlgen explain pac_bayes.m", ["pac_bayes.mixture"]),
        ("dlgen help implicit", ["implicit"]),
    ],
)
def test_the_shell_completes_without_torch(line, offered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert completed(line) == offered


def test_the_shell_completes_options_and_shows_its_script():
    assert {"--format", "--fail-above"} <= set(completed("dlgen audit a.pt --f"))
    done = subprocess.run(
        [sys.executable, "-m", "dlgen_cli", "--show-completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_DLGEN_COMPLETE=complete_bash" in done.stdout
