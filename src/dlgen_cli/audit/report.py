"""The report of an audited checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlgen_cli import __version__
from dlgen_cli.checkpoints.hub import shown
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.plan import Inputs
from dlgen_cli.networks import coverage_of
from dlgen_cli.records import Bound, Headline, Provenance, Report, SkippedLayer

if TYPE_CHECKING:
    from dlgen_cli.networks import ReadNetwork


def report_of(
    inputs: Inputs,
    *,
    command: str,
    settings: Mapping[str, Any],
    bounds: Sequence[Bound] = (),
    headline: Headline | None = None,
    results: Mapping[str, Any] | None = None,
) -> Report:
    """The report of an audited checkpoint."""
    options, read = inputs.options, inputs.read
    shown = [
        layer.stored if options.singular_values else replace(layer.stored, singular_values=())
        for layer in inputs.layers
    ]
    left = inputs.checkpoint.left_aside
    return Report(
        dlgen_version=__version__,
        command=command,
        provenance=_provenance(inputs),
        settings={**settings, **_selection(options)},
        layers=shown,
        skipped=[*(read.skipped if shown else _unreadable(read)), *read.counters, *left],
        bounds=bounds,
        headline=headline,
        results=results,
    )


def _unreadable(read: ReadNetwork) -> list[SkippedLayer]:
    """What is left out of the parameters too, where no layer was measured."""
    return [one for one in read.skipped if "floating point" in one.reason]


def _provenance(inputs: Inputs) -> Provenance:
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
    )


def _selection(options: AuditOptions) -> dict[str, Any]:
    return {
        "arch": options.arch,
        "input_shape": list(options.input_shape) if options.input_shape else None,
        "device": options.device,
        "include": list(options.include),
        "exclude": list(options.exclude),
        "strict": options.strict,
    }
