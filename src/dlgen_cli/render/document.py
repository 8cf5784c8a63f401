"""From a report to the model that every readable format is written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import Coverage, Provenance, Report, ReportError
from dlgen_cli.render import numbers
from dlgen_cli.render.model import Block, Document, Fact, Paragraph, Section
from dlgen_cli.render.sections.bounds import bounds_section, headline_section
from dlgen_cli.render.sections.comparison import comparison_section
from dlgen_cli.render.sections.compression import compression_sections
from dlgen_cli.render.sections.layers import layers_section, skipped_section
from dlgen_cli.render.sections.ledger import ledger_section
from dlgen_cli.render.sections.pac_bayes import pac_bayes_sections
from dlgen_cli.render.sections.pac_bayes_posterior import posterior_sections
from dlgen_cli.render.sections.pictures import pictures_section
from dlgen_cli.render.sections.postulates import postulates_sections
from dlgen_cli.render.sections.rademacher import rademacher_section
from dlgen_cli.render.sections.results import results_section
from dlgen_cli.render.text import unbroken
from dlgen_cli.render.values import line

_SHA256_DIGITS = 12
_MOST_SETTINGS = 14
#: Settings that decide the numbers come first.
_FIRST_SETTINGS = (
    "m",
    "delta",
    "b",
    "bits",
    "r",
    "rank",
    "beta",
    "margin",
    "gamma",
    "radius",
    "sigma",
    "epsilon",
)
_ARCHITECTURE = (
    "--arch NAME (torchvision), timm:NAME or FILE.py:NAME (your code) traces the network itself"
)
#: Results that have sections of their own.
_OWN_SECTIONS = frozenset({"against", "coordinates"})
#: Options that say how to print, not what to compute; shown with -v.
_HOUSEKEEPING = frozenset(
    {"checkpoint", "debug", "format", "json", "output", "plot", "quiet", "verbose", "verbosity"}
)


def build_document(report: Report, verbosity: int = 0) -> Document:
    """Arrange a report for reading.

    Args:
        report: what a command found.
        verbosity: 1 or more shows every row, both ends of every norm and the whole ledger.

    Returns:
        The document; sections that the report has nothing for are left out.
    """
    sections: list[Section | None] = [
        _errors_section(report.errors),
        *_results(report.results or {}, verbosity),
        layers_section(report.layers, verbosity),
        skipped_section(report.skipped, verbosity),
        bounds_section(report.bounds),
        *compression_sections(report.bounds, report.layers, verbosity),
        *pac_bayes_sections(report.bounds, verbosity),
        *posterior_sections(report.bounds, report.results or {}, verbosity),
        rademacher_section(report.bounds),
        headline_section(report.headline, report.bounds, report.headline_reason),
        ledger_section(report.bounds, verbosity),
        pictures_section(report.layers, report.bounds),
    ]
    return Document(
        title=f"dlgen {report.command}",
        version=f"dlgen {report.dlgen_version}",
        facts=(*_provenance(report.provenance, verbosity), *_settings(report.settings, verbosity)),
        sections=tuple(section for section in sections if section is not None),
    )


def _results(results: Mapping[str, Any], verbosity: int) -> Sequence[Section | None]:
    """The results; some have sections of their own."""
    if "verdicts" in results and "curves" in results:
        return postulates_sections(results)
    plain = {name: value for name, value in results.items() if name not in _OWN_SECTIONS}
    return [
        results_section(plain, verbosity),
        comparison_section(results.get("against"), verbosity),
    ]


def _provenance(provenance: Provenance | None, verbosity: int) -> list[Fact]:
    if provenance is None:
        return []
    digits = None if verbosity else _SHA256_DIGITS
    structure = {
        "graph": "traced as a graph",
        "chain": "taken as a chain of matrices",
    }[provenance.structure]
    network = (
        provenance.architecture or "architecture unknown",
        structure,
        f"{numbers.integer(provenance.parameters)} parameters",
    )
    source = (
        provenance.format_title or provenance.format,
        f"sha256 {provenance.sha256[:digits]}",
    )
    return [
        Fact(label="checkpoint", value=provenance.checkpoint),
        Fact(label="file", value=", ".join(unbroken(part) for part in source)),
        Fact(label="network", value=", ".join(unbroken(part) for part in network)),
        *([] if provenance.structure == "graph" else _hint(provenance.architecture)),
        *_coverage(provenance.coverage),
    ]


def _hint(recorded: str | None) -> list[Fact]:
    """How to give the architecture; one that is on record as code is run only where asked for."""
    is_code = recorded is not None and ":" in recorded
    text = f"--arch {recorded} runs that code, if you trust it, and traces the network itself"
    text = text if is_code else _ARCHITECTURE
    return [Fact(label="hint", value=text)]


def _coverage(coverage: Coverage | None) -> list[Fact]:
    if coverage is None:
        return []
    share = numbers.covered(coverage.parameters, coverage.of)
    covered = f"{numbers.integer(coverage.parameters)} of {numbers.integer(coverage.of)}"
    matrices = "matrix" if coverage.matrices == 1 else "matrices"
    tensors = "tensor" if coverage.left_out == 1 else "tensors"
    others = (
        (coverage.counted, "in other parameters"),
        (coverage.unknown, "not understood"),
        (coverage.aside, "entries kept aside"),
    )
    parts = (
        f"{numbers.integer(coverage.matrices)} {matrices}",
        f"{covered} parameters ({share})",
        *(f"{numbers.integer(count)} {what}" for count, what in others if count),
        f"{numbers.integer(coverage.left_out) if coverage.left_out else 'no'} {tensors} left out",
    )
    return [Fact(label="coverage", value=", ".join(unbroken(part) for part in parts))]


def _settings(settings: Mapping[str, Any], verbosity: int) -> list[Fact]:
    first = [name for name in _FIRST_SETTINGS if name in settings]
    rest = [name for name in settings if name not in _FIRST_SETTINGS]
    names = [*first, *rest]
    if not verbosity:
        names = [name for name in names if name not in _HOUSEKEEPING and _is_set(settings[name])]
    hidden = 0 if verbosity else max(0, len(names) - _MOST_SETTINGS)
    shown = names[: len(names) - hidden]
    parts = [
        unbroken(f"{name} = {line(settings[name], numbers.setting, between=' | ')}")
        for name in shown
    ]
    if hidden:
        parts.append(unbroken(f"and {hidden} more with -v"))
    return [Fact(label="settings", value=", ".join(parts))] if parts else []


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ("", (), [], {})


def _errors_section(errors: Sequence[ReportError]) -> Section | None:
    if not errors:
        return None
    blocks: list[Block] = []
    for error in errors:
        blocks.append(Paragraph(text=f"{error.code}: {error.message}", tone="bad"))
        if error.remedy:
            blocks.append(Paragraph(text=error.remedy))
    return Section(title="Errors", blocks=tuple(blocks))
