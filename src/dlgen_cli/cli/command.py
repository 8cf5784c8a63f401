"""From a dataclass of options to a command line, its help, and what is said of a typing mistake."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import ArgumentInfo

from dlgen_cli.cli.help import PANELS, print_help, shown_names
from dlgen_cli.cli.interruption import answering_interruptions
from dlgen_cli.cli.values import Choices, bare_type, read_value, suggestion
from dlgen_cli.errors import UsageError

Options = TypeVar("Options")

#: The attribute of a function that `deferred` made.
_DEFERRED = "as_command"
#: What a value is called on the page where its option does not say.
_METAVARS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}


class DlgenCommand(TyperCommand):
    """A command with dlgen's page of help; the options of a `deferred` one are read when needed."""

    @property
    def params(self) -> list[Any]:
        """Options and arguments."""
        if hasattr(self.callback, _DEFERRED):
            alone = typer.Typer(add_completion=False)
            alone.command()(getattr(self.callback, _DEFERRED)())
            read = typer.main.get_command(alone)
            self.callback, self._params = read.callback, read.params
        return self._params

    @params.setter
    def params(self, found: list[Any]) -> None:
        self._params = found

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        """Print it."""
        print_help(self, ctx)


class CommandGroup(TyperGroup):
    """Commands with dlgen's page of help, and a question where one is misspelt."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        """Print it."""
        print_help(self, ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command.

        Raises:
            UsageError: there is none of this name.
        """
        self.require_command(args[0], ctx)
        return super().resolve_command(ctx, args)

    def require_command(self, name: str, context: Any) -> None:
        """Refuse a name that is none of a command.

        Raises:
            UsageError: it is none.
        """
        known = self.list_commands(context)
        if name not in known and not name.startswith("-") and not context.resilient_parsing:
            raise UsageError(
                f"There is no command {name!r}.",
                remedy=suggestion(
                    name, known, otherwise=f"{context.command_path} --help lists them."
                ),
            )


def typing_mistake(error: Exception) -> UsageError:
    """What Typer found wrong, as one line."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "dlgen COMMAND"
    help_ = f"See {path} --help."
    option = getattr(error, "option_name", None)
    if type(error).__name__ == "NoSuchOption" and context is not None:
        known = [name for one in context.command.get_params(context) for name in shown_names(one)]
        long = [name for name in known if name.startswith("--")]
        return UsageError(
            f"There is no option {option}.", remedy=suggestion(str(option), long, otherwise=help_)
        )
    is_bare = type(error).__name__ == "NoArgsIsHelpError"  # its message is the page, or nothing
    told = "" if is_bare else str(getattr(error, "format_message", error.__str__)())
    message = " ".join(told.split())
    message = message.rstrip(".") or "A command is missing"
    return UsageError(f"{message}.", remedy=help_)


def deferred(function: Callable[[Options], None], options: type[Options]) -> Callable[..., None]:
    """`as_command` for a `DlgenCommand`, carried out when its options are asked for.

    To read the options of all commands takes longer than a mistake in one of them.
    """

    def command() -> None:
        """Stand for the function; Typer sees no parameters."""

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    setattr(command, _DEFERRED, partial(as_command, function, options))
    return command


def as_command(function: Callable[[Options], None], options: type[Options]) -> Callable[..., None]:
    """Give a function of one options dataclass the signature that Typer reads.

    Typer is told of flags, and of texts for everything else: `values` reads them. An option stands
    in the group that it names, else in the ``panel`` of the class that declares it.

    Args:
        function: the command; its docstring is the help text.
        options: a dataclass whose fields are annotated with Typer's options and arguments.

    Returns:
        A function of keyword arguments, one for each field.
    """
    hints = get_type_hints(options, include_extras=True)
    declared = {one.name: _Declared.of(one, options, hints[one.name]) for one in fields(options)}  # type: ignore[arg-type]
    ordered = sorted(declared.values(), key=lambda one: (one.place, one.depth))

    def command(**typed: Any) -> None:
        given = {name: value for name, value in typed.items() if value not in (None, (), [])}
        chosen = options(**{name: declared[name].read(value) for name, value in given.items()})
        kept = getattr(chosen, "kept", lambda: "Interrupted.")
        with answering_interruptions(kept):
            function(chosen)

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    parameters = [one.parameter() for one in ordered]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """A field of an options dataclass, as Typer and the page need it.

    ``depth`` is how far up its class stands: a command's own options come first in their group,
    after its arguments, which keep their order.
    """

    name: str
    hint: Any
    info: Any
    metadata: tuple[Any, ...]
    default: Any
    panel: str | None
    depth: int

    @classmethod
    def of(cls, one: Field[Any], options: type, annotation: Any) -> _Declared:
        hint, *metadata = get_args(annotation)
        info = next(item for item in metadata if hasattr(item, "param_decls"))
        owner = next(kind for kind in reversed(options.__mro__) if _declares(kind, one.name))
        default = one.default
        if one.default_factory is not MISSING:
            default = one.default_factory()
        return cls(
            name=one.name,
            hint=hint,
            info=info,
            metadata=tuple(item for item in metadata if item is not info),
            default=default,
            panel=info.rich_help_panel or owner.__dict__.get("panel"),
            depth=-1 if isinstance(info, ArgumentInfo) else options.__mro__.index(owner),
        )

    @property
    def place(self) -> int:
        return PANELS.index(self.panel) if self.panel in PANELS else len(PANELS)

    @property
    def option(self) -> str:
        """What it is called in messages."""
        typed = (self.info.default, *(self.info.param_decls or ()))  # the first one is `default`
        long = [name for name in typed if isinstance(name, str) and name.startswith("--")]
        return long[0].partition("/")[0] if long else str(self.info.metavar or self.name)

    def read(self, typed: Any) -> Any:
        return read_value(self.hint, typed, self.option, self.metadata)

    def parameter(self) -> inspect.Parameter:
        kind = bare_type(self.hint)
        is_list = get_origin(kind) is list
        element = get_args(kind)[0] if is_list else kind
        info = copy.copy(self.info)
        info.rich_help_panel = self.panel
        is_count = getattr(info, "count", False)
        if not isinstance(info.show_default, str):
            info.show_default = (not is_count and _shown(self.default)) or False
        choices = next((one for one in self.metadata if isinstance(one, Choices)), None)
        if choices is None and isinstance(element, type) and issubclass(element, Enum):
            choices = Choices([one.value for one in element])
        if choices is not None:
            info.autocompletion = _completion(choices)
        hint: Any = self.hint
        if element is not bool and not is_count:
            info.metavar = info.metavar or _metavar(element)
            hint = list[str] if is_list else str
        default: Any = inspect.Parameter.empty
        if self.default is not MISSING:
            is_typed_by_typer = hint is self.hint
            default = self.default if is_typed_by_typer else None
            hint = hint if is_typed_by_typer else hint | None
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[hint, info],
        )


def _declares(kind: type, name: str) -> bool:
    return name in inspect.get_annotations(kind)


def _metavar(kind: Any) -> str:
    return _METAVARS.get(kind, "NAME")


def _shown(default: Any) -> str:
    """A default on the page; none where it says nothing."""
    if default is MISSING or default is None or isinstance(default, bool) or default == "":
        return ""
    if isinstance(default, list | tuple):
        return ", ".join(_shown(one) for one in default)
    if isinstance(default, int):
        return f"{default:,}"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _completion(choices: Choices) -> Callable[[str], Iterable[str]]:
    def complete(incomplete: str) -> list[str]:
        return choices.complete(incomplete)

    return complete
