"""Options dataclasses become command lines, in the order that Python allows."""

import inspect
from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from dlgen_cli.cli.options import as_command


@dataclass(kw_only=True)
class Greeting:
    loud: Annotated[bool, typer.Option("--loud")] = False
    name: Annotated[str, typer.Argument()]
    times: Annotated[list[int], typer.Option("--times")] = field(default_factory=lambda: [1])


def test_a_command_gets_the_dataclass_that_was_typed():
    seen = []

    def greet(options: Greeting) -> None:
        """Say hello."""
        seen.append(options)

    command = as_command(greet, Greeting)
    parameters = inspect.signature(command).parameters
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters.values())
    app = typer.Typer()
    app.command()(command)
    runner = CliRunner()
    assert "Say hello." in runner.invoke(app, ["--help"]).output
    assert runner.invoke(app, ["Ada"]).exit_code == 0
    assert runner.invoke(app, ["Ada", "--loud", "--times", "2", "--times", "3"]).exit_code == 0
    assert seen == [Greeting(name="Ada"), Greeting(name="Ada", loud=True, times=[2, 3])]


@pytest.mark.parametrize("words", [[], ["Ada", "--times", "x"], ["Ada", "--soft"]])
def test_what_does_not_fit_is_refused(words):
    app = typer.Typer()
    app.command()(as_command(lambda options: None, Greeting))  # noqa: ARG005
    assert CliRunner().invoke(app, words).exit_code == 2
