"""Options dataclasses become command lines, and their pages of help."""

import inspect
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from dlgen_cli.cli.app import DlgenGroup, app
from dlgen_cli.cli.command import DlgenCommand, as_command, deferred
from dlgen_cli.cli.values import Choices


class Tone(StrEnum):
    WARM = "warm"
    COLD = "cold"


@dataclass(kw_only=True)
class Greeting:
    panel: ClassVar[str] = "Input"

    loud: Annotated[bool, typer.Option("--loud", help="Louder.")] = False
    name: Annotated[str, typer.Argument(metavar="NAME")]
    times: Annotated[list[int], typer.Option("--times", "--repeats")] = field(
        default_factory=lambda: [1]
    )
    pause: Annotated[float | None, typer.Option("--pause")] = None
    file: Annotated[Path | None, typer.Option("--file", rich_help_panel="Output")] = None
    tone: Annotated[Tone, typer.Option("--tone")] = Tone.WARM
    language: Annotated[str, Choices(("English", "French")), typer.Option("--language")] = "English"


@pytest.fixture
def greeted():
    """A runner of the command, and the options that it was given."""
    seen = []

    def greet(options: Greeting) -> None:
        """Say hello.

        And goodbye.
        """
        seen.append(options)

    application = typer.Typer(name="dlgen", cls=DlgenGroup)
    application.callback()(lambda: None)
    application.command("greet", cls=DlgenCommand, epilog="dlgen greet Ada")(
        as_command(greet, Greeting)
    )
    return (lambda *words: CliRunner().invoke(application, list(words))), seen


def test_a_command_gets_the_dataclass_that_was_typed(greeted):
    run, seen = greeted
    parameters = inspect.signature(as_command(print, Greeting)).parameters
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters.values())
    assert run("greet", "Ada").exit_code == 0
    words = ["--loud", "--times", "2,3", "--times", "4", "--pause", "1%", "--file", "a"]
    assert run("greet", "Ada", *words, "--tone", "cold").exit_code == 0
    assert seen == [
        Greeting(name="Ada"),
        Greeting(
            name="Ada",
            loud=True,
            times=[2, 3, 4],
            pause=0.01,
            file=Path("a"),
            tone=Tone.COLD,
        ),
    ]


@dataclass(kw_only=True)
class Unreadable:
    word: "Annotated[NoSuchType, typer.Option('--word')]" = ""  # noqa: F821


def test_options_of_a_deferred_command_are_read_when_it_is_named():
    seen = []
    application = typer.Typer(name="dlgen", cls=DlgenGroup)
    application.command("greet", cls=DlgenCommand)(deferred(seen.append, Greeting))
    application.command("other", cls=DlgenCommand)(deferred(seen.append, Unreadable))
    assert CliRunner().invoke(application, ["greet", "Ada", "--times", "2,3"]).exit_code == 0
    assert seen == [Greeting(name="Ada", times=[2, 3])]
    assert "NoSuchType" in CliRunner().invoke(application, ["other"]).output
    shown = typer.main.get_command(application).commands["greet"].params
    assert {one.name for one in shown} >= {"loud", "name", "times", "pause"}


def test_an_older_name_works_and_is_not_shown(greeted):
    run, seen = greeted
    assert run("greet", "Ada", "--repeats", "2").exit_code == 0
    assert seen == [Greeting(name="Ada", times=[2])]
    assert "--repeats" not in run("greet", "--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["greet"], "NAME"),
        (["greet", "Ada", "--times", "x"], "--times is 'x'; a whole number was expected."),
        (["greet", "Ada", "--pause", "x"], "--pause is 'x'; a number was expected."),
        (["greet", "Ada", "--lodu"], "There is no option --lodu. Did you mean --loud?"),
        (["greet", "Ada", "--qqq"], "There is no option --qqq. See dlgen greet --help."),
        (
            ["greet", "Ada", "--tone", "wamr"],
            "--tone 'wamr' is unknown. Did you mean warm? Choose one of: warm, cold.",
        ),
        (["greet", "Ada", "--language", "french"], "Did you mean French?"),
        (["great"], "There is no command 'great'. Did you mean greet?"),
        (["qqq"], "There is no command 'qqq'."),
    ],
    ids=lambda one: " ".join(one)[:30] if isinstance(one, list) else "",
)
def test_what_does_not_fit_is_refused_in_one_line(greeted, words, message):
    run, seen = greeted
    outcome = run(*words)
    assert (outcome.exit_code, seen) == (2, [])
    assert len(outcome.stderr.splitlines()) == 1
    assert message in outcome.stderr


def test_the_page_has_groups_defaults_and_examples_and_no_types(greeted, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run, _ = greeted
    page = run("greet", "--help").stdout
    assert page.splitlines()[0] == "Usage: dlgen greet [OPTIONS] NAME"
    assert "And goodbye." in page
    titles = [line[3:].split(" ")[0] for line in page.splitlines() if line.startswith("╭")]
    assert titles == ["Input", "Output", "Messages", "Examples"]
    assert "--loud " in page
    assert "[default: warm]" in page
    assert "[default: 1]" in page
    assert "bool" not in page


def test_help_of_what_is_no_command_is_refused():
    for words, message in (
        (["help", "certfy"], "Did you mean certify?"),
        (["help", "audit", "linear"], "dlgen audit has no commands"),
        (["certfy"], "Did you mean certify?"),
        (["implicit", "linaer"], "Did you mean linear?"),
        (["implicit"], "A command is missing. See dlgen implicit --help."),
        (["spectra", "a", "--sigma"], "There is no option --sigma. See dlgen spectra --help."),
    ):
        outcome = CliRunner().invoke(app, words)
        assert outcome.exit_code == 2
        assert message in outcome.stderr
