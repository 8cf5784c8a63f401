"""``dlgen certify``: every certificate that applies, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import typer

from dlgen_cli.cli import console
from dlgen_cli.cli.audits import audit_options, data_options
from dlgen_cli.cli.options import (
    DATA_DEFAULTS,
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
    shrink: Annotated[
        list[float],
        typer.Option(
            "--shrink",
            metavar="A",
            help="Score a trained posterior with A times its mean's way from the prior's, 0 to 2; "
            "repeatable, the union is paid.",
        ),
    ] = field(default_factory=lambda: list(DATA_DEFAULTS.shrink))
    tried: Annotated[
        int,
        typer.Option(
            "--tried",
            help="Settings of a trained posterior's prior in a list that you fixed before trying "
            "any on these data; pays ln N.",
        ),
    ] = DATA_DEFAULTS.tried
    tried_nats: Annotated[
        float,
        typer.Option(
            "--tried-nats",
            metavar="X",
            help="Instead, where a search looked at each result: pays X nats, the length of the "
            "chosen settings in a prefix code over all that it could have reached.",
        ),
    ] = DATA_DEFAULTS.tried_nats
    occam: Annotated[
        bool, typer.Option("--occam", help="Occam's bound of a trained posterior's mean too.")
    ] = False


def certify(options: CertifyCommand) -> None:
    """Certify the risk of a checkpoint on labelled examples, in every way that applies.

    The holdout, Occam's bound and PAC-Bayes in kl form share delta; the best
    is named. Bounds on the gap stand beside them. Where a run trained a
    posterior, the holdout and its PAC-Bayes bound do.
    """
    from dlgen_cli.audit.certify import certify as run

    console.check_outputs(options, options.state)
    console.check_gate(options.fail_above)
    data = data_options(options)
    assert data is not None  # noqa: S101  --data is required
    data = replace(
        data,
        shrink=options.shrink,
        occam=options.occam,
        tried=options.tried,
        tried_nats=options.tried_nats,
    )
    with console.layer_progress(options) as measured, console.draw_progress(options) as drawn:
        report = run(audit_options(options), data, layer_progress=measured, draw_progress=drawn)
    console.emit(report, options)
    console.gate(report, options)
