"""The commands that audit a checkpoint: one assembly line, different theorems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from dlgen_cli.checkpoints.location import locate
from dlgen_cli.cli import console
from dlgen_cli.cli.help import INPUT, OUTPUT
from dlgen_cli.cli.options import (
    CheckpointOptions,
    CompressionOptions,
    DataOption,
    GateOptions,
    GibbsOptions,
    PacBayesOptions,
    PlotOptions,
    RademacherOptions,
    RankOptions,
    RequiredData,
    SpectraOptions,
)
from dlgen_cli.cli.progress import showing_work
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.processes import process_rank
from dlgen_cli.render.plots.figures import check_target
from dlgen_cli.render.plots.series import plot_series

if TYPE_CHECKING:
    from dlgen_cli.bounds.theorem import Family
    from dlgen_cli.records import Report


@dataclass(kw_only=True)
class SpectraCommand(CheckpointOptions, RankOptions, SpectraOptions):
    """Options of ``dlgen spectra``."""

    panel: ClassVar[str] = INPUT

    more: Annotated[
        list[Path],
        typer.Argument(
            metavar="[CKPT]...",
            help="More checkpoints of the same training: norms against the step.",
        ),
    ] = field(default_factory=list)
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Another checkpoint to measure the distance from."),
    ] = None
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Draw norms against the step here: .png, .svg or .pdf.",
            rich_help_panel=OUTPUT,
        ),
    ] = None


@dataclass(kw_only=True)
class CompressBoundCommand(
    CheckpointOptions, CompressionOptions, DataOption, SpectraOptions, PlotOptions, GateOptions
):
    """Options of ``dlgen compress-bound``."""


@dataclass(kw_only=True)
class PacBayesCommand(CheckpointOptions, PacBayesOptions, DataOption, GibbsOptions, GateOptions):
    """Options of ``dlgen pacbayes``."""


@dataclass(kw_only=True)
class RademacherCommand(CheckpointOptions, RademacherOptions, GateOptions):
    """Options of ``dlgen rademacher``."""


@dataclass(kw_only=True)
class AuditCommand(
    CheckpointOptions,
    CompressionOptions,
    PacBayesOptions,
    RademacherOptions,
    SpectraOptions,
    PlotOptions,
    GateOptions,
):
    """Options of ``dlgen audit``."""


def spectra(options: SpectraCommand) -> None:
    """Measure every layer: spectral norm, stable rank, rank-r truncation error.

    Of several checkpoints of one training, the norms against the step: the epochs that their runs
    record, else the last number in each name, else the order given.
    """
    if options.more:
        _spectra_of_several(options)
        return
    if options.plot is not None:
        raise UsageError(
            "--plot was given with one checkpoint.",
            remedy="Give several of one training: norms are drawn against the step.",
        )
    if options.against is None:
        _run(options, "spectra", ())
        return
    console.check_outputs(options)
    if options.output is not None and options.output.resolve() == options.against.resolve():
        raise UsageError(f"{options.output} is compared against.", remedy="Name another file.")
    chosen = checked_options(options)
    locate(options.against)
    from dlgen_cli.audit.compare import compare

    with showing_work(options) as progress:
        report = compare(chosen, options.against, progress=progress)
    console.emit(report, options)


def _spectra_of_several(options: SpectraCommand) -> None:
    if options.against is not None:
        raise UsageError(
            "--against was given with several checkpoints.", remedy="Compare two at a time."
        )
    checkpoints = [options.checkpoint, *options.more]
    for read in checkpoints:
        console.check_outputs(replace(options, checkpoint=read), options.plot)
    chosen = checked_options(options)
    for read in options.more:
        locate(read)
    if options.plot is not None:
        check_target(options.plot)
    from dlgen_cli.audit.series import measure_series

    with showing_work(options) as progress:
        report = measure_series(chosen, checkpoints, progress=progress)
    if options.plot is not None and process_rank() == 0:
        plot_series((report.results or {})["series"], options.plot)
    console.emit(report, options)


def compress_bound(options: CompressBoundCommand) -> None:
    """Bound the generalization gap by compression to rank-r factors in b bits."""
    _run(options, "compress-bound", ("compression",))


def pacbayes(options: PacBayesCommand) -> None:
    """Bound the generalization gap by the distance to anchors (PAC-Bayes)."""
    _run(options, "pacbayes", ("pac_bayes",), with_layers=False)


def rademacher(options: RademacherCommand) -> None:
    """Bound the generalization gap by the Rademacher complexity of a shell."""
    _run(options, "rademacher", ("rademacher",), with_layers=False)


def audit(options: AuditCommand) -> None:
    """Run every audit that the inputs allow, on one page."""
    families: list[Family] = ["compression", "rademacher"]
    if AuditOptions(checkpoint=options.checkpoint, anchors=options.anchors).has_anchor:
        families.insert(1, "pac_bayes")
    _run(options, "audit", families)


def _run(
    options: CheckpointOptions,
    command: str,
    families: Sequence[Family],
    *,
    with_layers: bool = True,
) -> None:
    console.check_outputs(options, getattr(options, "plot", None))  # refuse before any work
    console.check_gate(getattr(options, "fail_above", None))
    chosen = checked_options(options)
    from dlgen_cli.audit.audit import audit

    with showing_work(options) as progress:
        report = audit(
            chosen,
            command=command,
            families=families,
            with_layers=with_layers,
            data=data_options(options),
            progress=progress,
            warn=console.warn if command == "pacbayes" else None,
        )
    plot: Path | None = getattr(options, "plot", None)
    if plot is not None and process_rank() == 0:
        _draw_sweep(report, plot)
    console.emit(report, options)
    if isinstance(options, GateOptions):
        console.gate(report, options)


def audit_options(options: CheckpointOptions) -> AuditOptions:
    """What an audit takes of the options of a command.

    Raises:
        UsageError: ``--b``, ``--input-shape`` or ``--arch-arg`` cannot be read.
    """
    known = {one.name for one in fields(AuditOptions)}
    chosen = {one.name: getattr(options, one.name) for one in fields(options) if one.name in known}
    if "b" in chosen:
        chosen["b"] = parse_bits(chosen["b"])
    shape = parse_shape(options.input_shape)
    arguments = parse_arguments(options.arch_arg)
    read = {"input_shape": shape, "arch_arguments": arguments, "cache": not options.no_cache}
    return AuditOptions(**chosen | read)


def checked_options(options: CheckpointOptions) -> AuditOptions:
    """What an audit takes of the options, once ranges are checked and all files are found.

    A mistake is told here, before torch is imported: that takes seconds.

    Raises:
        UsageError: an option is out of its range.
        CheckpointError: the checkpoint or an anchors file is missing, or of an unknown kind.
    """
    chosen = audit_options(options)
    chosen.require_ranges()
    for path in (chosen.checkpoint, *chosen.anchors):
        locate(path)
    return chosen


def data_options(options: CheckpointOptions) -> DataOptions | None:
    """What a certificate takes of the options of a command; None without ``--data``."""
    if not isinstance(options, DataOption | RequiredData) or options.data is None:
        return None
    data = options.data
    if not isinstance(options, GibbsOptions):
        return DataOptions(data=data)
    return DataOptions(
        data=data,
        draws=options.draws,
        delta_monte_carlo=options.delta_monte_carlo,
        freeze=options.freeze,
        relative=options.relative_sigma,
        seed=options.seed,
        state=options.state,
    )


def parse_bits(text: str) -> int | None:
    """The width of ``--b``; None for ``auto``.

    Raises:
        UsageError: it is neither a whole number nor ``auto``.
    """
    if text == "auto":
        return None
    if not text.removeprefix("-").isdecimal():
        raise UsageError(
            f"--b is {text!r}; a whole number of bits or auto was expected.", remedy="Try --b 8."
        )
    return int(text)


def parse_arguments(given: Sequence[str]) -> dict[str, Any]:
    """The arguments of ``--arch-arg``: each value as JSON where it is, else as text.

    Raises:
        UsageError: one is not of the form KEY=VALUE, or a key comes twice.
    """
    arguments: dict[str, Any] = {}
    for one in given:
        key, equals, text = one.partition("=")
        if not equals or not key.isidentifier() or key in arguments:
            raise UsageError(
                f"--arch-arg {one!r} "
                + ("comes twice." if key in arguments else "is no KEY=VALUE."),
                remedy="Try --arch-arg num_classes=10.",
            )
        try:
            arguments[key] = json.loads(text)
        except ValueError:
            arguments[key] = text
    return arguments


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """The sizes of ``--input-shape``.

    Raises:
        UsageError: it is no list of sizes.
    """
    if text is None:
        return None
    sizes = text.replace("x", ",").split(",")
    if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise UsageError(
            f"--input-shape {text!r} is no shape.", remedy="Give sizes, for example 3,224,224."
        )
    return tuple(int(size) for size in sizes)


def _draw_sweep(report: Report, path: Path) -> None:
    from dlgen_cli.bounds.compression import ALL_RANKS
    from dlgen_cli.render.plots.rank_sweep import plot_rank_sweep

    bound = next(one for one in report.bounds if one.theorem == ALL_RANKS.name)
    if bound.status == "not_applicable":
        raise UsageError(
            "There is no sweep over r to plot: the compression bound does not apply.",
            remedy="Drop --plot to see why.",
        )
    plot_rank_sweep(bound.terms["sweep"], path, title=Path(options_name(report)).name)


def options_name(report: Report) -> str:
    """The checkpoint that a report is about, as the user gave it."""
    return report.provenance.checkpoint if report.provenance else report.command
