"""The options that commands share, as dataclasses that become command lines.

A command is a function of one dataclass; `as_command` gives it the signature that Typer reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from dlgen_cli.cli.interruption import answering_interruptions
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.render import Format

Options = TypeVar("Options")

#: The defaults that the library has too.
AUDIT_DEFAULTS = AuditOptions(checkpoint=Path())
DATA_DEFAULTS = DataOptions(data="")


@dataclass(kw_only=True)
class ReportOptions:
    """How the report is written, and what else is said."""

    format: Annotated[
        Format | None,
        typer.Option("--format", help="How the report is written.", show_default="table"),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Write the report here; format by suffix if not given."),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Show evidence and full tables.")
    ] = 0
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False

    def kept(self) -> str:
        """What is said on Ctrl-C; a command that keeps something says more."""
        return "Interrupted: nothing was written."


@dataclass(kw_only=True)
class CheckpointOptions(ReportOptions):
    """Which checkpoint, which of its matrices, and on which sample."""

    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CKPT",
            help="Weights: safetensors, torch, TorchScript, GGUF, an index of shards, a directory "
            "with them, or hf://org/name.",
        ),
    ]
    m: Annotated[
        int | None,
        typer.Option("--m", help="Training examples.", show_default="as recorded, else 50,000"),
    ] = None
    delta: Annotated[float, typer.Option("--delta", help="Failure probability.")] = (
        AUDIT_DEFAULTS.delta
    )
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            metavar="NAME",
            help="The part of a file that holds several networks: its key, or keys with dots.",
        ),
    ] = None
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            metavar="P",
            help="Take P off the names of tensors; those without it are left aside.",
            show_default=False,
        ),
    ] = ""
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            metavar="NAME|FILE.py:NAME|MODULE:NAME|timm:NAME",
            help="The architecture: a classifier of torchvision, mlp, mobilenet_v2, a network of "
            "timm, or your own class or function that returns a module: that runs your code.",
        ),
    ] = None
    arch_arg: Annotated[
        list[str],
        typer.Option(
            "--arch-arg",
            metavar="KEY=VALUE",
            help="An argument of the architecture, as JSON or else as text; repeatable.",
        ),
    ] = field(default_factory=list)
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input-shape",
            metavar="C,H,W",
            help="Shape of one input.",
            show_default="as recorded, else as usual for the architecture",
        ),
    ] = None
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = (
        AUDIT_DEFAULTS.device
    )
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", help="Relative width of the bracket of a convolution's norm."),
    ] = AUDIT_DEFAULTS.tolerance
    include: Annotated[
        list[str], typer.Option("--include", help="Glob of matrices to audit; repeatable.")
    ] = field(default_factory=list)
    exclude: Annotated[
        list[str], typer.Option("--exclude", help="Glob of matrices to leave out; repeatable.")
    ] = field(default_factory=list)
    strict: Annotated[bool, typer.Option("--strict", help="A skipped tensor is an error.")] = False
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Measure again what was measured before.")
    ] = False

    def kept(self) -> str:
        """What is said on Ctrl-C."""
        if self.no_cache:
            return "Interrupted: no report was written, and nothing was kept."
        return (
            "Interrupted: no report was written. Large layers that were measured are kept; the "
            "same command goes on."
        )


@dataclass(kw_only=True)
class GateOptions:
    """The gate that scripts set."""

    fail_above: Annotated[
        float | None,
        typer.Option("--fail-above", help="Exit 1 unless the headline bound is at most this."),
    ] = None
    accept_assumed: Annotated[
        bool,
        typer.Option("--accept-assumed", help="--fail-above accepts what is only assumed."),
    ] = False


@dataclass(kw_only=True)
class RankOptions:
    """The rank of a truncation."""

    r: Annotated[int | None, typer.Option("--r", help="Rank r of a truncation.")] = None


@dataclass(kw_only=True)
class SpectraOptions:
    """What is reported of spectra."""

    singular_values: Annotated[
        bool, typer.Option("--singular-values", help="All singular values, in the JSON.")
    ] = False


@dataclass(kw_only=True)
class CompressionOptions(RankOptions):
    """The numbers of a compression bound."""

    b: Annotated[
        str,
        typer.Option("--b", metavar="BITS|auto", help="Bits for each parameter; auto pays for it."),
    ] = str(AUDIT_DEFAULTS.b)
    beta: Annotated[
        float | None,
        typer.Option("--beta", help="Lipschitz constant of the loss.", show_default="1"),
    ] = None
    margin: Annotated[
        float | None,
        typer.Option("--margin", help="Margin of the ramp loss: sets beta to sqrt(2)/margin."),
    ] = None
    gamma: Annotated[
        float | None,
        typer.Option("--gamma", help="Lipschitz constant of activations.", show_default="1"),
    ] = None
    radius: Annotated[
        float | None,
        typer.Option("--radius", help="Bound on the norm of inputs.", show_default="1"),
    ] = None


@dataclass(kw_only=True)
class PlotOptions:
    """Where the plot goes."""

    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the sweep over r here: .png, .svg or .pdf."),
    ] = None


@dataclass(kw_only=True)
class PacBayesOptions:
    """The priors of a PAC-Bayes bound."""

    anchors: Annotated[
        list[Path],
        typer.Option(
            "--anchors",
            help="State dict(s) or a stacked tensor (K, p); repeatable.",
            show_default="init of a run directory",
        ),
    ] = field(default_factory=list)
    sigma: Annotated[
        list[float],
        typer.Option("--sigma", help="Standard deviation; repeatable, the union is paid."),
    ] = field(default_factory=lambda: list(AUDIT_DEFAULTS.sigma))


DATA_HELP = "Labelled examples: digits, cifar10, or a directory with train/ and test/."


@dataclass(kw_only=True)
class DataOption:
    """The examples that a risk is counted on, where the user has them."""

    data: Annotated[str | None, typer.Option("--data", help=f"{DATA_HELP} Adds a certificate.")] = (
        None
    )


@dataclass(kw_only=True)
class RequiredData:
    """The examples that a certificate needs."""

    data: Annotated[str, typer.Option("--data", help=DATA_HELP)]


@dataclass(kw_only=True)
class GibbsOptions:
    """How the risk of the random predictor is estimated."""

    draws: Annotated[
        int, typer.Option("--draws", help="Draws of weights for the risk of the random predictor.")
    ] = DATA_DEFAULTS.draws
    delta_monte_carlo: Annotated[
        float | None,
        typer.Option(
            "--delta-monte-carlo",
            help="Failure probability of that estimate, within delta.",
            show_default="a fifth of the certificate's share",
        ),
    ] = None
    freeze: Annotated[
        list[str],
        typer.Option("--freeze", help="Parameters that equal the anchor's stay fixed; repeatable."),
    ] = field(default_factory=list)
    relative_sigma: Annotated[
        bool,
        typer.Option("--relative-sigma", help="Sigma multiplies the anchor's own scale by tensor."),
    ] = False
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draws.")] = DATA_DEFAULTS.seed
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Keep the draws here; an interrupted run goes on from it."),
    ] = None


@dataclass(kw_only=True)
class RademacherOptions:
    """The shells of a Rademacher bound."""

    epsilon: Annotated[float, typer.Option("--epsilon", help="Width of a shell.")] = (
        AUDIT_DEFAULTS.epsilon
    )


def as_command(function: Callable[[Options], None], options: type[Options]) -> Callable[..., None]:
    """Give a function of one options dataclass the signature that Typer reads.

    Args:
        function: the command; its docstring is the help text.
        options: a dataclass whose fields are annotated with Typer's options and arguments.

    Returns:
        A function of keyword arguments, one for each field.
    """
    hints = get_type_hints(options, include_extras=True)
    parameters = []
    for one in sorted(fields(options), key=lambda one: one.default is not MISSING):  # type: ignore[arg-type]
        default: Any = inspect.Parameter.empty
        if one.default is not MISSING:
            default = one.default
        elif one.default_factory is not MISSING:
            default = one.default_factory()
        parameters.append(
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=hints[one.name],
            )
        )

    def command(**values: Any) -> None:
        chosen = options(**values)
        kept = chosen.kept if isinstance(chosen, ReportOptions) else ReportOptions().kept
        with answering_interruptions(kept):
            function(chosen)

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
