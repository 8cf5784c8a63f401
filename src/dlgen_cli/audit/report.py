"""The report of an audited checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlgen_cli import __version__
from dlgen_cli.bounds.refutation import refute
from dlgen_cli.checkpoints.hub import shown
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger.shared import not_understood
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.plan import why_no_headline
from dlgen_cli.evidence.recorded_errors import recorded_errors
from dlgen_cli.networks import coverage_of
from dlgen_cli.records import (
    Bound,
    Headline,
    Provenance,
    RecordedErrors,
    Report,
    SkippedLayer,
)


def report_of(
    inputs: Inputs,
    *,
    command: str,
    settings: Mapping[str, Any],
    bounds: Sequence[Bound] = (),
    headline: Headline | None = None,
    results: Mapping[str, Any] | None = None,
    recorded: RecordedErrors | None = None,
) -> Report:
    """The report of an audited checkpoint, its bounds held against the errors on record.

    Args:
        inputs: checkpoint and network.
        command: name in the report.
        settings: the options in force.
        bounds: as they were evaluated.
        headline: the bound that stands for the report.
        results: what the command found beside them.
        recorded: errors of the network; those of the run where None.
    """
    recorded = recorded or recorded_errors(inputs.checkpoint)
    options, read = inputs.options, inputs.read
    shown = [
        layer.stored if options.singular_values else replace(layer.stored, singular_values=())
        for layer in inputs.layers
    ]
    checkpoint = inputs.checkpoint
    left = [SkippedLayer(name=one.name, reason=one.reason) for one in checkpoint.left_aside]
    return Report(
        dlgen_version=__version__,
        command=command,
        provenance=_provenance(inputs, recorded),
        settings={**settings, **_selection(options)},
        layers=shown,
        skipped=[*(read.skipped if shown else _unknown(inputs)), *read.counters, *left],
        bounds=[refute(bound, recorded) for bound in bounds],
        headline=headline,
        headline_reason=why_no_headline(bounds) if headline is None else "",
        results=results,
    )


def _unknown(inputs: Inputs) -> list[SkippedLayer]:
    """What is left out of the parameters too, where no layer was measured."""
    names = {one.name for one in not_understood(inputs.checkpoint, inputs.read)}
    return [one for one in inputs.read.skipped if one.name in names]


def _provenance(inputs: Inputs, recorded: RecordedErrors | None) -> Provenance:
    checkpoint, read = inputs.checkpoint, inputs.read
    measured = [layer.stored.name for layer in inputs.layers]
    return Provenance(
        checkpoint=shown(inputs.options.checkpoint),
        format=checkpoint.format,
        format_title=checkpoint.format_title,
        sha256=checkpoint.sha256,
        architecture=read.architecture,
        structure=read.structure,
        parameters=checkpoint.parameters,
        coverage=coverage_of(read, checkpoint, measured) if measured else None,
        recorded_errors=recorded,
    )


def _selection(options: AuditOptions) -> dict[str, Any]:
    return {
        "part": options.part,
        "prefix": options.prefix,
        "arch": options.arch,
        "arch_arg": dict(options.arch_arguments),
        "input_shape": list(options.input_shape) if options.input_shape else None,
        "device": options.device,
        "tolerance": options.tolerance,
        "include": list(options.include),
        "exclude": list(options.exclude),
        "strict": options.strict,
    }
