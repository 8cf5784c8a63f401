"""The options of ``dlgen train --objective coded``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(kw_only=True)
class CodedOptions:
    """Over how many coordinates a network is coded, and how."""

    dim: Annotated[
        int | None,
        typer.Option(
            "--dim",
            help="With coded: coordinates that a random projection takes to all parameters.",
            show_default="one for each parameter",
        ),
    ] = None
    predictor: Annotated[
        str | None,
        typer.Option(
            "--predictor",
            help="With coded: code (a quantised network) or gaussian (a random one).",
            show_default="gaussian",
        ),
    ] = None
    step: Annotated[
        float | None,
        typer.Option(
            "--step", help="With --predictor code: step of the quantiser.", show_default="0.5"
        ),
    ] = None
