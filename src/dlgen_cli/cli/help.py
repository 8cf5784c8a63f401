"""``--help``: the options of a command in groups, its examples, in 80 columns.

Typer's own page gives flags a type, and its help a column of twenty characters; and each version
of it lays out another one. This one is the same with all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

INPUT, DATA, NETWORK = "Input", "Examples", "Network"
METHOD, COMPRESSION, PAC_BAYES, RADEMACHER = "Method", "Compression", "PAC-Bayes", "Rademacher"
TRAINING, CODED, COMPUTATION = "Training", "Coded network", "Computation"
PROBLEM, OUTPUT, OTHER = "Problem", "Output", "Messages and help"
#: In this order they stand on the page.
PANELS = (
    INPUT,
    DATA,
    PROBLEM,
    NETWORK,
    TRAINING,
    METHOD,
    COMPRESSION,
    PAC_BAYES,
    CODED,
    RADEMACHER,
    COMPUTATION,
    OUTPUT,
    OTHER,
)

_WIDEST_PAGE, _WIDEST_NAME = 100, 26


def print_help(command: Any, context: Any) -> None:
    """Print the help of a command or a group of them on stdout."""
    console = Console(highlight=False, soft_wrap=False)
    console.width = min(console.width, _WIDEST_PAGE)
    for part in _parts(command, context):
        console.print(part)


def shown_names(parameter: Any) -> list[str]:
    """Names of an option on the page: short ones, and the first long one of each meaning.

    Further long names are old ones, which still work.
    """
    long = [
        next(name for name in names if name.startswith("--"))
        for names in (parameter.opts, parameter.secondary_opts)
        if any(name.startswith("--") for name in names)
    ]
    return [*(name for name in parameter.opts if not name.startswith("--")), *long]


def _parts(command: Any, context: Any) -> Iterable[RenderableType]:
    parameters = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    commands = getattr(command, "commands", None)
    words = [
        context.command_path,
        "[OPTIONS]" if not commands else "COMMAND [OPTIONS]",
        *(_argument_name(one) for one in arguments),
    ]
    yield Text.assemble(("Usage: ", "bold"), " ".join(words))
    yield ""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield Text(" ".join(paragraph.split()))
        yield ""
    if commands:
        yield from _command_panels(command, context)
    options = [one for one in parameters if one.param_type_name != "argument"]
    rows: dict[str, list[tuple[Text, Text]]] = {name: [] for name in PANELS}
    for one in arguments:
        rows[INPUT].append((Text(_argument_name(one), "bold cyan"), _explained(one)))
    for one in options:
        rows.setdefault(getattr(one, "rich_help_panel", None) or OTHER, []).append(
            (_names(one), _explained(one))
        )
    yield from _panels(rows)
    if command.epilog:
        examples = Text(inspect.cleandoc(command.epilog), overflow="fold")
        yield _panel("Examples", examples)


def _command_panels(command: Any, context: Any) -> Iterable[Panel]:
    rows: dict[str, list[tuple[Text, Text]]] = {}
    for name in command.list_commands(context):
        one = command.get_command(context, name)
        first = inspect.cleandoc(one.help or "").split("\n\n")[0]
        rows.setdefault(getattr(one, "rich_help_panel", None) or "Commands", []).append(
            (Text(name, "bold cyan"), Text(" ".join(first.split())))
        )
    yield from _panels(rows)


def _panels(rows: dict[str, list[tuple[Text, Text]]]) -> Iterable[Panel]:
    lengths = [len(name) for panel in rows.values() for name, _ in panel]
    width = max((length for length in lengths if length <= _WIDEST_NAME), default=_WIDEST_NAME)
    for title, panel in rows.items():
        if panel:
            yield _panel(title, Group(*(_row(name, text, width) for name, text in panel)))


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="dim")


def _row(name: Text, text: Text, width: int) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=width)
    table.add_column(ratio=1)
    if len(name) <= width:
        table.add_row(name, text)
        return table
    table.add_row("", text)
    return Group(name, table)


def _names(parameter: Any) -> Text:
    text = Text(", ".join(shown_names(parameter)), "bold cyan")
    takes_value = not (getattr(parameter, "is_flag", False) or getattr(parameter, "count", False))
    if takes_value and parameter.metavar:
        text.append(f" {parameter.metavar}", "yellow not bold")
    return text


def _argument_name(parameter: Any) -> str:
    name: str = parameter.metavar or parameter.name.upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _explained(parameter: Any) -> Text:
    text = Text(" ".join((parameter.help or "").split()))
    if parameter.required:
        text.append(" [required]", "red")
    elif isinstance(parameter.show_default, str):
        text.append(f" [default: {parameter.show_default}]", "dim")
    return text
