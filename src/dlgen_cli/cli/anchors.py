"""``dlgen anchors``: an anchors file from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from dlgen_cli.checkpoints.location import locate
from dlgen_cli.cli import console
from dlgen_cli.cli.audits import parse_arguments
from dlgen_cli.cli.help import INPUT, NETWORK, OUTPUT
from dlgen_cli.cli.options import DATA_CHOICES, ReportOptions
from dlgen_cli.cli.values import Choices, Whole
from dlgen_cli.errors import OutputError, UsageError


@dataclass(kw_only=True)
class AnchorsCommand(ReportOptions):
    """Options of ``dlgen anchors``."""

    panel: ClassVar[str] = NETWORK

    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Pretrained weights, a directory of dlgen train, or another anchors file.",
        ),
    ]
    out: Annotated[
        Path,
        typer.Option(
            "--save",
            "--out",
            help="Write the anchors file here (safetensors).",
            rich_help_panel=OUTPUT,
        ),
    ]
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="NAME", help="Architecture.", show_default="as recorded"),
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
    image_size: Annotated[
        int | None,
        typer.Option("--image-size", help="mobilenet_v2 resizes images to this many pixels."),
    ] = None
    mirrored: Annotated[
        bool,
        typer.Option("--mirrored", help="Average pooled features with those of mirrored images."),
    ] = False
    taps: Annotated[
        str | None,
        typer.Option(
            "--taps",
            metavar="N,N",
            help="Blocks of mobilenet_v2 whose pooled outputs get a linear map to the logits of "
            "their own, at first zero.",
        ),
    ] = None
    head: Annotated[
        str,
        Choices(("keep", "zero", "rows")),
        typer.Option(
            "--head",
            metavar="HEAD",
            help="Last layer: keep it; zero, of new classes; or rows, averages of its rows.",
        ),
    ] = "keep"
    classes: Annotated[
        int | None, typer.Option("--classes", help="Number of classes of the new head.")
    ] = None
    data: Annotated[
        str | None,
        DATA_CHOICES,
        typer.Option(
            "--data",
            metavar="DATA",
            help="The classes and their order: digits, cifar10, or a directory.",
            rich_help_panel=INPUT,
        ),
    ] = None
    rows: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            metavar="FILE.json",
            help="Rows of the head by class, in the order of the classes: "
            '{"cat": [281, 282], "dog": [207]}.',
        ),
    ] = None
    head_scale: Annotated[
        float | None,
        typer.Option("--head-scale", help="Multiply the averaged rows by this.", show_default="1"),
    ] = None
    initial: Annotated[
        bool,
        typer.Option(
            "--initial",
            help="The initialization of a run, not its trained weights.",
            rich_help_panel=INPUT,
        ),
    ] = False


def anchors(options: AnchorsCommand) -> None:
    """Make an anchors file: a network with a head for your classes, and what trained it."""
    console.chosen_format(options)
    if options.out.resolve() in {options.source.resolve(), *_others(options)}:
        raise UsageError(f"{options.out} is read or written already.", remedy="Name another file.")
    if options.out.is_dir() or not options.out.resolve().parent.is_dir():
        raise OutputError(
            f"{options.out} cannot be written: it is a folder, or its folder is missing.",
            remedy="Name a file in a folder that exists.",
        )
    locate(options.source)
    arguments = parse_arguments(options.arch_arg)
    from dlgen_cli.audit.make_anchor import AnchorOptions, make_anchor

    names = {one.name for one in fields(AnchorOptions)} - {"arch_arguments"}
    chosen = {name: getattr(options, name) for name in names}
    made = make_anchor(AnchorOptions(**chosen, arch_arguments=arguments), file=str(options.out))
    console.write_whole(options.out, made.content)
    console.emit(made.report, options)


def _others(options: AnchorsCommand) -> list[Path]:
    return [path.resolve() for path in (options.output, options.rows) if path is not None]
