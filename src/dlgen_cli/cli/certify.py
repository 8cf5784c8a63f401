"""``dlgen certify``: every certificate that applies, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.audits import audit_options, data_options
from dlgen_cli.cli.options import (
    CheckpointOptions,
    CompressionOptions,
    GateOptions,
    GibbsOptions,
    PacBayesOptions,
    RequiredData,
)


@dataclass(kw_only=True)
class CertifyCommand(
    CheckpointOptions, RequiredData, CompressionOptions, PacBayesOptions, GibbsOptions, GateOptions
):
    """Options of ``dlgen certify``."""

    b: Annotated[
        str, typer.Option("--b", help="Bits for each parameter, or auto.", show_default="auto")
    ] = "auto"


def certify(options: CertifyCommand) -> None:
    """Certify the risk of a checkpoint on labelled examples, in every way that applies.

    The holdout, Occam's bound and PAC-Bayes in kl form share delta; the best
    is named. Bounds on the gap stand beside them.
    """
    from dlgen_cli.audit.certify import certify as run

    console.check_outputs(options, options.state)
    console.check_gate(options.fail_above)
    data = data_options(options)
    assert data is not None  # noqa: S101  --data is required
    with console.layer_progress(options) as measured, console.draw_progress(options) as drawn:
        report = run(audit_options(options), data, measured=measured, drawn=drawn)
    console.emit(report, options)
    if console.gate(report.headline, options.fail_above):
        raise typer.Exit(1)
