"""What a command imports before it has something to do: nothing that takes seconds."""

import subprocess
import sys

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
