"""``dlgen certify``: every certificate that applies, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from dlgen_cli.checkpoints.location import locate
from dlgen_cli.cli import console
from dlgen_cli.cli.audits import checked_options, data_options
from dlgen_cli.cli.help import DATA, PAC_BAYES
from dlgen_cli.cli.options import (
    DATA_CHOICES,
    DATA_DEFAULTS,
    DATA_HELP,
    CheckpointOptions,
    CompressionOptions,
    GateOptions,
    GibbsOptions,
    PacBayesOptions,
    RequiredData,
)
from dlgen_cli.cli.progress import showing_work
from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from dlgen_cli.records import Report

#: Stands for no argument.
NO_CHECKPOINT = Path()


@dataclass(kw_only=True)
class CertifyCommand(
    CheckpointOptions, RequiredData, CompressionOptions, PacBayesOptions, GibbsOptions, GateOptions
):
    """Options of ``dlgen certify``."""

    panel: ClassVar[str] = DATA

    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="[CKPT]",
            help="Weights, as for dlgen audit; none with --predictions or --errors.",
            show_default=False,
        ),
    ] = NO_CHECKPOINT
    data: Annotated[
        str,
        DATA_CHOICES,
        typer.Option(
            "--data", metavar="DATA", help=f"{DATA_HELP} Needed with CKPT, or --features."
        ),
    ] = ""
    features: Annotated[
        list[Path],
        typer.Option(
            "--features",
            metavar="FILE",
            help="Rows of features in the place of --data: npz or safetensors with train_x, "
            "train_y, test_x, test_y; repeatable, in the order of training.",
        ),
    ] = field(default_factory=list)
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            metavar="FILE",
            help="Certify whatever made these: CSV or npz with label and prediction, or loss in "
            "[0, 1]; and split (holdout or sample) and group where there are any.",
        ),
    ] = None
    errors: Annotated[
        int | None,
        typer.Option(
            "--errors", metavar="K", help="Certify whatever erred K times, on --examples."
        ),
    ] = None
    examples: Annotated[
        int | None, typer.Option("--examples", metavar="N", help="Examples that K is counted on.")
    ] = None
    nats: Annotated[
        float | None,
        typer.Option(
            "--nats",
            metavar="X",
            help="The predictor was chosen on these examples: pays X nats, ln of the number in a "
            "list fixed before them or the length of its code.",
        ),
    ] = None
    b: Annotated[
        str, typer.Option("--b", help="Bits for each parameter, or auto.", show_default="auto")
    ] = "auto"
    shrink: Annotated[
        list[float],
        typer.Option(
            "--shrink",
            metavar="A,...",
            help="Score a trained posterior with A times its mean's way from the prior's, 0 to 2; "
            "of several the union is paid.",
            rich_help_panel=PAC_BAYES,
        ),
    ] = field(default_factory=lambda: list(DATA_DEFAULTS.shrink))
    tried: Annotated[
        int,
        typer.Option(
            "--tried",
            help="Settings of a trained posterior's prior in a list that you fixed before trying "
            "any on these data; pays ln N.",
            rich_help_panel=PAC_BAYES,
        ),
    ] = DATA_DEFAULTS.tried
    tried_nats: Annotated[
        float,
        typer.Option(
            "--tried-nats",
            metavar="X",
            help="Instead, where a search looked at each result: pays X nats, the length of the "
            "chosen settings in a prefix code over all that it could have reached.",
            rich_help_panel=PAC_BAYES,
        ),
    ] = DATA_DEFAULTS.tried_nats
    base: Annotated[
        Path | None,
        typer.Option(
            "--base",
            metavar="CKPT",
            help="Weights that the checkpoint was tuned from, independent of the data: Occam's "
            "bound then pays for the change alone, and they are the anchor.",
        ),
    ] = None
    surrogate: Annotated[
        Path | None,
        typer.Option(
            "--surrogate",
            metavar="CKPT",
            help="A network with a holdout in the same data: its risk, and how often it disagrees "
            "with the checkpoint on --unlabelled, bound the checkpoint's.",
        ),
    ] = None
    unlabelled: Annotated[
        list[Path],
        typer.Option(
            "--unlabelled",
            metavar="DIR",
            help="Fresh examples for --surrogate: images in a folder; with --features, files that "
            "hold rows x, in the order of those.",
        ),
    ] = field(default_factory=list)
    draw_network: Annotated[
        Path | None,
        typer.Option(
            "--draw-network",
            metavar="FILE",
            help="Draw one network from a trained posterior, write it to FILE.safetensors and "
            "certify it itself.",
            rich_help_panel=PAC_BAYES,
        ),
    ] = None
    occam: Annotated[
        bool,
        typer.Option(
            "--occam",
            help="Occam's bound of a trained posterior's mean too.",
            rich_help_panel=PAC_BAYES,
        ),
    ] = False


def certify(options: CertifyCommand) -> None:
    """Certify the risk of a checkpoint on labelled examples, in every way that applies.

    The holdout, Occam's bound and PAC-Bayes in kl form share delta; the best
    is named. Bounds on the gap stand beside them. Where a run trained a
    posterior, the holdout and its PAC-Bayes bound do.

    With --predictions or --errors no checkpoint is read: whatever was
    evaluated elsewhere is certified by its errors or losses.
    """
    from_elsewhere = options.predictions is not None or options.errors is not None
    has_data = bool(options.data or options.features)
    if from_elsewhere or options.checkpoint == NO_CHECKPOINT or not has_data:
        _certify_numbers(options)
        return
    if options.data and options.features:
        raise UsageError(
            "--data and --features were given; each holds the examples.",
            remedy="Give the one that the checkpoint was trained on.",
        )
    if options.examples is not None or options.nats is not None:
        raise UsageError(
            "--examples and --nats go with --errors or --predictions.", remedy="Leave them out."
        )
    if (options.surrogate is None) != (not options.unlabelled):
        raise UsageError(
            "--surrogate and --unlabelled belong together; one of them was given.",
            remedy="Give both, or neither.",
        )
    if options.base is not None and options.anchors:
        raise UsageError(
            "--base and --anchors were given; the base is the anchor.", remedy="Leave one out."
        )
    for path in (options.base, options.surrogate):
        if path is not None:
            locate(path)
    console.check_outputs(options, options.state, options.draw_network)
    console.check_gate(options.fail_above)
    data = data_options(options)
    assert data is not None  # noqa: S101  --data was given
    data = replace(
        data,
        features=options.features,
        base=options.base,
        surrogate=options.surrogate,
        unlabelled=options.unlabelled,
        shrink=options.shrink,
        occam=options.occam,
        draw_network=options.draw_network,
        tried=options.tried,
        tried_nats=options.tried_nats,
    )
    chosen = checked_options(options)
    from dlgen_cli.audit.certify import certify as run

    with showing_work(options) as show:
        report = run(
            chosen,
            data,
            layer_progress=show,
            draw_progress=lambda done, total: show("risk of the random predictor", done, total),
        )
    console.emit(report, options)
    console.gate(report, options)


def _certify_numbers(options: CertifyCommand) -> None:
    """Certify what was evaluated elsewhere."""
    console.check_gate(options.fail_above)
    read = options.predictions or options.checkpoint
    console.check_outputs(replace(options, checkpoint=read))
    report = _report_of_numbers(options)
    console.emit(report, options)
    console.gate(report, options)


def _report_of_numbers(options: CertifyCommand) -> Report:
    from dlgen_cli.audit.certify_predictions import certify_errors, certify_predictions

    errors, examples, predictions = options.errors, options.examples, options.predictions
    has_checkpoint = options.checkpoint != NO_CHECKPOINT or bool(options.data or options.features)
    if predictions is not None and errors is None and examples is None and not has_checkpoint:
        return certify_predictions(predictions, options.delta, options.nats)
    if errors is not None and examples is not None and predictions is None and not has_checkpoint:
        return certify_errors(errors, examples, options.delta, options.nats)
    raise UsageError(
        "One of three was expected: CKPT with --data or --features, --predictions FILE, or "
        "--errors K with --examples N.",
        remedy="See dlgen certify --help.",
    )
