"""Every command of dlgen, by what is typed."""

import typer

from dlgen_cli.cli.app import app


def commands():
    """The words of each command, and the command."""
    pending = [("", typer.main.get_command(app))]
    while pending:
        path, one = pending.pop()
        yield path, one
        pending += [
            (f"{path} {name}".strip(), inner)
            for name, inner in getattr(one, "commands", {}).items()
        ]
