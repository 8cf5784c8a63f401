"""The options of ``dlgen train --objective coded``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from dlgen_cli.errors import UsageError

_CODED = ("dim", "predictor", "step")


@dataclass(kw_only=True)
class CodedOptions:
    """What is minimised, and over how many coordinates."""

    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="cross-entropy, or coded: a network of few coordinates, every bit of them paid.",
            show_default="cross-entropy",
        ),
    ] = None
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

    def check_objective(self, *, resume: bool) -> None:
        """Refuse an unknown objective, and options of another one.

        Raises:
            UsageError: names the option.
        """
        objective = self.objective or "cross-entropy"
        if objective not in {"cross-entropy", "coded"}:
            raise UsageError(
                f"--objective {objective!r} is unknown.", remedy="Choose cross-entropy or coded."
            )
        given = [name for name in _CODED if getattr(self, name) is not None]
        if given and objective != "coded":
            raise UsageError(
                f"--{given[0]} was given without --objective coded.",
                remedy=f"Leave out --{given[0]}.",
            )
        if objective == "coded" and resume:
            raise UsageError(
                "--resume was given with --objective coded, which is not resumed.",
                remedy="Leave out --resume.",
            )
