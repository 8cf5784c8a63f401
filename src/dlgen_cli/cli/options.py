"""The options that commands share, as dataclasses that become command lines.

A command is a function of one dataclass; `command.as_command` gives it the signature that Typer
reads. ``panel`` is the group of a class's options on the page of help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from dlgen_cli.cli.help import (
    COMPRESSION,
    COMPUTATION,
    DATA,
    INPUT,
    METHOD,
    OTHER,
    OUTPUT,
    PAC_BAYES,
    RADEMACHER,
)
from dlgen_cli.cli.values import Choices, Whole, listed
from dlgen_cli.devices import DEVICES
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.records import SOURCES
from dlgen_cli.render import Format

#: The defaults that the library has too.
AUDIT_DEFAULTS = AuditOptions(checkpoint=Path())
DATA_DEFAULTS = DataOptions(data="")

#: Numbers of a GPU may follow, as in cuda:1.
DEVICE_CHOICES = Choices(DEVICES, is_open=True)
DATA_CHOICES = Choices(SOURCES, is_open=True, is_path=True)


@dataclass(kw_only=True)
class ReportOptions:
    """How the report is written, and what else is said."""

    panel: ClassVar[str] = OUTPUT

    format: Annotated[
        Format | None,
        typer.Option("--format", help=f"How the report is written: {listed(Format)}."),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the report here; its suffix says how: .html, .json ..."
        ),
    ] = None
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=OTHER)
    ] = False
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Show evidence and full tables.",
            rich_help_panel=OTHER,
        ),
    ] = 0
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OTHER)
    ] = False

    def kept(self) -> str:
        """What is said on Ctrl-C; a command that keeps something says more."""
        return "Interrupted: nothing was written."


@dataclass(kw_only=True)
class CheckpointOptions(ReportOptions):
    """Which checkpoint, which of its matrices, and on which sample."""

    panel: ClassVar[str] = INPUT

    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CKPT",
            help="Weights: safetensors, torch, torch.export, ONNX, TorchScript, GGUF, an index of "
            "shards, a directory with them, or hf://org/name.",
        ),
    ]
    m: Annotated[
        int | None,
        typer.Option("--m", help="Training examples.", show_default="as recorded, else 50,000"),
    ] = None
    delta: Annotated[
        float,
        typer.Option("--delta", help="Failure probability.", rich_help_panel=METHOD),
    ] = AUDIT_DEFAULTS.delta
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
            metavar="NAME",
            help="The architecture: a classifier of torchvision, mlp, mobilenet_v2, timm:NAME, "
            "transformers for a folder with config.json, or your own class or function that "
            "returns a module, as FILE.py:NAME or MODULE:NAME: that runs your code.",
        ),
    ] = None
    arch_arg: Annotated[
        list[str],
        Whole(),
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
    device: Annotated[
        str,
        DEVICE_CHOICES,
        typer.Option(
            "--device", metavar="DEVICE", help=f"{listed(DEVICES)}.", rich_help_panel=COMPUTATION
        ),
    ] = AUDIT_DEFAULTS.device
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            help="Relative width of the bracket of a convolution's norm.",
            rich_help_panel=METHOD,
        ),
    ] = AUDIT_DEFAULTS.tolerance
    include: Annotated[
        list[str],
        typer.Option("--include", metavar="GLOB,...", help="Matrices to audit; repeatable."),
    ] = field(default_factory=list)
    exclude: Annotated[
        list[str],
        typer.Option("--exclude", metavar="GLOB,...", help="Matrices to leave out; repeatable."),
    ] = field(default_factory=list)
    strict: Annotated[
        bool,
        typer.Option("--strict", help="A skipped tensor is an error.", rich_help_panel=METHOD),
    ] = False
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache",
            help="Measure again what was measured before.",
            rich_help_panel=COMPUTATION,
        ),
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

    panel: ClassVar[str] = OUTPUT

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

    panel: ClassVar[str] = COMPRESSION

    r: Annotated[int | None, typer.Option("--r", help="Rank r of a truncation.")] = None


@dataclass(kw_only=True)
class SpectraOptions:
    """What is reported of spectra."""

    panel: ClassVar[str] = OUTPUT

    singular_values: Annotated[
        bool, typer.Option("--singular-values", help="All singular values, in the JSON.")
    ] = False


@dataclass(kw_only=True)
class CompressionOptions(RankOptions):
    """The numbers of a compression bound."""

    panel: ClassVar[str] = COMPRESSION

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

    panel: ClassVar[str] = OUTPUT

    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the sweep over r here: .png, .svg or .pdf."),
    ] = None


@dataclass(kw_only=True)
class PacBayesOptions:
    """The priors of a PAC-Bayes bound."""

    panel: ClassVar[str] = PAC_BAYES

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
        typer.Option(
            "--sigma", metavar="X,...", help="Standard deviation, or several: the union is paid."
        ),
    ] = field(default_factory=lambda: list(AUDIT_DEFAULTS.sigma))


DATA_HELP = "Labelled examples: digits, cifar10, or a directory with train/ and test/."


@dataclass(kw_only=True)
class DataOption:
    """The examples that a risk is counted on, where the user has them."""

    panel: ClassVar[str] = DATA

    data: Annotated[
        str | None,
        DATA_CHOICES,
        typer.Option("--data", metavar="DATA", help=f"{DATA_HELP} Adds a certificate."),
    ] = None


@dataclass(kw_only=True)
class RequiredData:
    """The examples that a certificate needs."""

    panel: ClassVar[str] = DATA

    data: Annotated[str, DATA_CHOICES, typer.Option("--data", metavar="DATA", help=DATA_HELP)]


@dataclass(kw_only=True)
class GibbsOptions:
    """How the risk of the random predictor is estimated."""

    panel: ClassVar[str] = PAC_BAYES

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
        typer.Option(
            "--freeze",
            metavar="GLOB,...",
            help="Parameters that equal the anchor's stay fixed; repeatable.",
        ),
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

    panel: ClassVar[str] = RADEMACHER

    epsilon: Annotated[float, typer.Option("--epsilon", help="Width of a shell.")] = (
        AUDIT_DEFAULTS.epsilon
    )
