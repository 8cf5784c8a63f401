"""README and docs: what they show runs and prints that, and what they link to is there."""

import html
import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def fenced(language):
    """The fenced blocks of a language, with the page that they stand on."""
    pattern = re.compile(rf"```{language}\n(.*?)```", flags=re.DOTALL)
    return [(page, block) for page, text in PAGES.items() for block in pattern.findall(text)]


def script(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generated():
    return script("hooks").pages()


def shell_commands():
    """Every ``dlgen`` line of the shell blocks, continuation lines joined."""
    for page, block in fenced("sh"):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words[:1] == ["dlgen"]:
                    yield page, words[1:]


@cache
def printed(command):
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize(("page", "session"), fenced("console"))
def test_a_session_prints_what_is_shown(page, session, monkeypatch):  # noqa: ARG001 - its name
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    first, _, shown = session.partition("\n")
    lines = iter(printed(first.removeprefix("$ dlgen ")))
    for line in shown.splitlines():
        assert line == "…" or line in lines, line


@pytest.mark.parametrize(("page", "code"), fenced("python"))
def test_an_example_in_python_runs(page, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})  # the examples are our own


@pytest.mark.parametrize(("page", "words"), list(shell_commands()), ids=lambda one: str(one)[:40])
def test_a_command_of_the_shell_has_these_options(page, words):
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= known, page


@pytest.mark.parametrize(
    ("page", "block"), [(page, block) for page, block in fenced("sh") if "fixtures/" in block]
)
def test_a_command_on_the_fixtures_runs(page, block, tmp_path, monkeypatch):
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    for part in block.replace("&&", "\n").splitlines():
        command, _, file = part.partition(" > ")
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, (page, command, result.stderr)
        if file.strip():
            Path(file.strip()).write_text(result.stdout, encoding="utf-8")


def rows(svg):
    """The lines of text in a picture that begin with a theorem's name."""
    lines = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    texts = [html.unescape(line).replace("\xa0", " ").strip() for line in lines]
    return [text for text in texts if text.split(" ")[0] in THEOREMS or text.startswith("≤")]


def test_the_picture_shows_what_is_printed():
    shown = script("picture")
    kept = shown.PICTURE.read_text(encoding="utf-8")
    assert rows(kept) == rows(shown.picture())
    assert shown.COMMAND in html.unescape(kept).replace("\xa0", " ")
    assert "docs/report.svg" in PAGES["README.md"]
    assert "@font-face" not in kept  # nothing is loaded from elsewhere


def test_every_block_is_of_a_kind_that_is_tested_or_plain():
    kinds = {
        kind for text in PAGES.values() for kind in re.findall(r"^```(\w*)$", text, re.MULTILINE)
    }
    assert kinds - {""} <= {"sh", "console", "python", "text"}


def test_the_readme_is_short():
    assert len(PAGES["README.md"].encode()) <= 8 * 1024


def test_every_link_leads_somewhere():
    made = {f"docs/{path}" for path in generated()}
    for page, text in PAGES.items():
        without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for link in re.findall(r"\]\((?!https?://)([^)]+)\)", without_code):
            target = (ROOT / page).parent / link.partition("#")[0]
            name = target.resolve().relative_to(ROOT).as_posix()
            assert target.exists() or name in made, (page, link)


def test_the_site_shows_every_page_once():
    listed = re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    made = [path for path in generated() if not path.startswith("theorems/")]
    assert sorted(listed) == sorted([*(path.name for path in (ROOT / "docs").glob("*.md")), *made])
    assert {f"theorems/{name}.md" for name in THEOREMS} <= generated().keys()


def test_the_table_lists_every_command():
    listed = set(re.findall(r"^\| `dlgen ([\w-]+)", PAGES["docs/commands.md"], flags=re.MULTILINE))
    commands = {command.name for command in app.registered_commands}
    assert listed == commands | {group.name for group in app.registered_groups}


def test_the_table_lists_every_theorem():
    assert THEOREMS.keys() <= set(re.findall(r"`([\w.]+)`", PAGES["docs/bounds.md"]))
