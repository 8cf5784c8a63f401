"""The command line: ``dlgen COMMAND``."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from dlgen_cli.bounds.compression_stored import STORED
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.cli import (
    anchors,
    audits,
    certify,
    compress,
    console,
    demo,
    explain,
    objectives,
    postulates,
    train,
    verify,
)
from dlgen_cli.cli.command import CommandGroup, DlgenCommand, deferred, typing_mistake
from dlgen_cli.cli.help import print_help
from dlgen_cli.cli.implicit import implicit_app
from dlgen_cli.cli.values import Choices
from dlgen_cli.errors import DlgenError, UsageError
from dlgen_cli.processes import leave, settle

# Typer carries its own copy of click or depends on it, by version: ask the class itself.
_ClickError: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


class DlgenGroup(CommandGroup):
    """Turns every failure into one line on stderr and exit code 2."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and leave with the exit code of the contract."""
        words = list(sys.argv[1:] if args is None else args)
        console.print_what_the_terminal_can()
        code, failure = 0, None
        try:
            code = super().main(
                words, prog_name or "dlgen", complete_var, False, windows_expand_args, **extra
            )
        except (DlgenError, _ClickError) as error:
            failure = _as_own(error, words)
        except BrokenPipeError:
            sys.stderr.close()  # the reader has left: nothing to say
        except Exception as error:  # the last line of defence keeps it to one line
            if "--debug" in words:
                raise
            failure = DlgenError(
                f"Unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}.",
                remedy="This is a fault of dlgen; --debug shows where.",
            )
        failure = settle(failure)
        if failure is not None:
            code = _report_failure(failure, words)
        leave()
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def _as_own(error: Exception, words: Sequence[str]) -> DlgenError:
    """The error, what Typer found wrong as a `UsageError`."""
    if "--debug" in words:
        traceback.print_exc()
    return error if isinstance(error, DlgenError) else typing_mistake(error)


def _report_failure(error: DlgenError, words: Sequence[str]) -> int:
    named = [word for word in words if not word.startswith("-")]
    command = " ".join(named[: 2 if named[:1] == ["implicit"] else 1])
    console.fail(error, as_json=_asks_for_json(words), command=command)
    return 2


def _asks_for_json(words: Sequence[str]) -> bool:
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(
        word in {"--json", "--format=json"} or (word, following) == ("--format", "json")
        for word, following in pairs
    )


app = typer.Typer(
    name="dlgen",
    cls=DlgenGroup,
    help="Audit trained neural networks: norms by layer and generalization bounds, every "
    "constant kept.",
    epilog="""
    dlgen demo                               train a small network and certify it
    dlgen audit model.safetensors            every bound that its weights allow
    dlgen certify runs/mine --data digits    how wrong it will be, proven
    dlgen help certify                       the options of a command
    """,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete_command(incomplete: str) -> list[str]:
    commands = [one.name for one in app.registered_commands]
    groups = [one.name for one in app.registered_groups]
    return Choices([name for name in (*commands, *groups) if name]).complete(incomplete)


def _say_version() -> None:
    from dlgen_cli import __version__

    sys.stdout.write(f"dlgen {__version__}\n")


def _version_option(*, value: bool) -> None:
    if value:
        _say_version()
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - acts through its callback
        bool,
        typer.Option(
            "--version", "-V", help="Show the version.", callback=_version_option, is_eager=True
        ),
    ] = False,
) -> None:
    """Show the help where no command is given."""
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(2)


START, BOUNDS = "Start here", "Measure and bound"
MAKE, LEARN = "Train and make", "Check and understand"
for _name, _function, _options, _panel, _examples in (
    (
        "audit",
        audits.audit,
        audits.AuditCommand,
        START,
        """
        dlgen audit model.safetensors --m 50,000
        dlgen audit net.pt --arch resnet18 --output audit.html
        dlgen audit net.pt --arch net.py:Net --input-shape 3,32,32
        """,
    ),
    (
        "certify",
        certify.certify,
        certify.CertifyCommand,
        START,
        """
        dlgen certify runs/mine --data digits --sigma 0.1,0.3
        dlgen certify --errors 31 --examples 1,000
        dlgen certify --predictions answers.csv --delta 1%
        """,
    ),
    (
        "demo",
        demo.demo,
        demo.DemoCommand,
        START,
        """
        dlgen demo
        dlgen demo --save runs/demo --output demo.html
        """,
    ),
    (
        "spectra",
        audits.spectra,
        audits.SpectraCommand,
        BOUNDS,
        """
        dlgen spectra model.safetensors --r 8
        dlgen spectra tuned.safetensors --against pretrained.safetensors
        dlgen spectra runs/step-*.pt --plot norms.svg
        """,
    ),
    (
        "compress-bound",
        audits.compress_bound,
        audits.CompressBoundCommand,
        BOUNDS,
        """
        dlgen compress-bound model.safetensors --b 32
        dlgen compress-bound runs/mine --b auto --data digits --plot ranks.svg
        """,
    ),
    (
        "pacbayes",
        audits.pacbayes,
        audits.PacBayesCommand,
        BOUNDS,
        """
        dlgen pacbayes model.safetensors --anchors pretrained.pt --sigma 0.01
        dlgen pacbayes runs/mine --sigma 0.1,0.3 --data digits
        """,
    ),
    (
        "rademacher",
        audits.rademacher,
        audits.RademacherCommand,
        BOUNDS,
        """
        dlgen rademacher model.safetensors --epsilon 1e-9
        """,
    ),
    (
        "train",
        train.train,
        objectives.TrainCommand,
        MAKE,
        """
        dlgen train --data digits --holdout 200 --save runs/mine
        dlgen train --data cifar10 --dataset random --epochs 50
        dlgen train --resume --save runs/mine
        """,
    ),
    (
        "anchors",
        anchors.anchors,
        anchors.AnchorsCommand,
        MAKE,
        """
        dlgen anchors pretrained.pt --arch mobilenet_v2 --head zero --classes 10 --save a.pt
        dlgen anchors runs/mine --initial --save anchor.safetensors
        """,
    ),
    (
        "compress",
        compress.compress,
        compress.CompressCommand,
        MAKE,
        """
        dlgen compress model.safetensors --r 8 --b 8 --save small.safetensors
        """,
    ),
    (
        "verify",
        verify.verify,
        verify.VerifyCommand,
        LEARN,
        """
        dlgen verify report.json
        """,
    ),
    (
        "explain",
        explain.explain,
        explain.ExplainCommand,
        LEARN,
        f"""
        dlgen explain                            theorems, statuses and words
        dlgen explain {STORED.name}
        dlgen explain {KL.name} --report report.json
        """,
    ),
    (
        "postulates",
        postulates.postulates,
        postulates.PostulatesCommand,
        LEARN,
        """
        dlgen postulates --data digits
        """,
    ),
):
    app.command(_name, cls=DlgenCommand, epilog=_examples, rich_help_panel=_panel)(
        deferred(_function, _options)  # type: ignore[arg-type]
    )
app.add_typer(implicit_app, name="implicit", rich_help_panel=LEARN)


@app.command("help", cls=DlgenCommand, rich_help_panel=LEARN, epilog="dlgen help certify")
def help_(
    context: typer.Context,
    *,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]",
            help="A command, as in: dlgen help implicit linear.",
            autocompletion=_complete_command,
        ),
    ] = None,
) -> None:
    """Show the help of a command."""
    assert context.parent is not None  # noqa: S101  help is a command of the group
    found: Any = context.parent
    for word in command or []:
        group = found.command
        if not isinstance(group, CommandGroup):
            raise UsageError(
                f"{found.command_path} has no commands of its own.",
                remedy=f"See {found.command_path} --help.",
            )
        group.require_command(word, found)
        found = type(found)(group.get_command(found, word), info_name=word, parent=found)
    print_help(found.command, found)


@app.command("version", cls=DlgenCommand, rich_help_panel=LEARN, epilog="dlgen version")
def version_() -> None:
    """Show the version."""
    _say_version()
