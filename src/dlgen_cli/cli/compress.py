"""``dlgen compress``: write the network that a compression bound speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.audits import checked_options
from dlgen_cli.cli.help import COMPRESSION, OUTPUT
from dlgen_cli.cli.options import CheckpointOptions, CompressionOptions
from dlgen_cli.cli.progress import showing_work
from dlgen_cli.errors import UsageError


@dataclass(kw_only=True)
class CompressCommand(CheckpointOptions, CompressionOptions):
    """Options of ``dlgen compress``."""

    panel: ClassVar[str] = OUTPUT

    out: Annotated[Path, typer.Option("--save", "--out", help="Write the compressed network here.")]
    ranks: Annotated[
        list[str],
        typer.Option(
            "--ranks",
            metavar="NAME=R,...",
            rich_help_panel=COMPRESSION,
            help="Rank of one layer, or NAME=whole; repeatable.",
            show_default="--r, else the best for each layer",
        ),
    ] = field(default_factory=list)
    dense: Annotated[
        bool,
        typer.Option(
            "--dense",
            help="Write the decoded weights, as a state dict that loads elsewhere: .safetensors "
            "or .pt.",
        ),
    ] = False


def compress(options: CompressCommand) -> None:
    """Write the compressed network: same architecture, low-rank factors in b bits."""
    console.check_outputs(options, options.out)
    ranks = _parse_ranks(options.ranks)
    if options.out.is_dir():
        raise UsageError(
            f"{options.out} is a folder.", remedy="Name a file, as in small.safetensors."
        )
    chosen = checked_options(options)
    from dlgen_cli.audit.compress import compress as compress_network

    with showing_work(options) as progress:
        compressed = compress_network(
            chosen, ranks=ranks, file=str(options.out), dense=options.dense, progress=progress
        )
    console.write_whole(options.out, compressed.content)
    console.emit(compressed.report, options)


def _parse_ranks(words: list[str]) -> Mapping[str, int | None]:
    ranks: dict[str, int | None] = {}
    for word in (part for one in words for part in one.split(",")):
        name, _, rank = word.rpartition("=")
        if not name or not (rank == "whole" or rank.isdecimal()):
            raise UsageError(
                f"--ranks {word!r} is no rank of a layer.",
                remedy="Give NAME=R or NAME=whole, as in layers.0.weight=8.",
            )
        if name in ranks:
            raise UsageError(f"--ranks names {name} twice.", remedy="Give each layer one rank.")
        ranks[name] = None if rank == "whole" else int(rank)
    return ranks
