"""The command line: ``dlgen COMMAND``."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dlgen_cli import __version__
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
from dlgen_cli.cli.implicit import implicit_app
from dlgen_cli.cli.options import as_command
from dlgen_cli.errors import DlgenError, UsageError
from dlgen_cli.processes import leave, settle

# Typer carries its own copy of click or depends on it, by version: ask the class itself.
_ClickError: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


class DlgenGroup(TyperGroup):
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
        code, failure = 0, None
        try:
            code = super().main(words, prog_name, complete_var, False, windows_expand_args, **extra)
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
    if isinstance(error, DlgenError):
        return error
    message = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
    return UsageError(message.rstrip(".") + ".", remedy="See dlgen COMMAND --help.")


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
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(*, value: bool) -> None:
    if value:
        sys.stdout.write(f"dlgen {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - acts through its callback
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Show the help where no command is given."""
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(2)


for _name, _function, _options in (
    ("train", train.train, objectives.TrainCommand),
    ("postulates", postulates.postulates, postulates.PostulatesCommand),
    ("spectra", audits.spectra, audits.SpectraCommand),
    ("compress-bound", audits.compress_bound, audits.CompressBoundCommand),
    ("compress", compress.compress, compress.CompressCommand),
    ("pacbayes", audits.pacbayes, audits.PacBayesCommand),
    ("rademacher", audits.rademacher, audits.RademacherCommand),
    ("audit", audits.audit, audits.AuditCommand),
    ("anchors", anchors.anchors, anchors.AnchorsCommand),
    ("verify", verify.verify, verify.VerifyCommand),
    ("explain", explain.explain, explain.ExplainCommand),
    ("certify", certify.certify, certify.CertifyCommand),
    ("demo", demo.demo, demo.DemoCommand),
):
    app.command(_name)(as_command(_function, _options))  # type: ignore[arg-type]
app.add_typer(implicit_app, name="implicit")
