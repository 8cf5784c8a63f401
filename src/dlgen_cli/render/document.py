"""From a report to the model that every readable format is written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlgen_cli.records import Report, ReportError
from dlgen_cli.render import terms
from dlgen_cli.render.model import Block, Document, Paragraph, Section
from dlgen_cli.render.sections.bounds import bounds_section
from dlgen_cli.render.sections.checkpoint import checkpoint_section
from dlgen_cli.render.sections.comparison import comparison_section
from dlgen_cli.render.sections.compression import compression_sections
from dlgen_cli.render.sections.formulas import formulas_section
from dlgen_cli.render.sections.layers import layers_section, skipped_section
from dlgen_cli.render.sections.ledger import ledger_section
from dlgen_cli.render.sections.pac_bayes import pac_bayes_sections
from dlgen_cli.render.sections.pac_bayes_posterior import posterior_sections
from dlgen_cli.render.sections.pictures import pictures_section
from dlgen_cli.render.sections.postulates import postulates_sections
from dlgen_cli.render.sections.rademacher import rademacher_section
from dlgen_cli.render.sections.results import results_section
from dlgen_cli.render.sections.series import series_section
from dlgen_cli.render.sections.verdict import verdict_section

#: Commands that evaluate all that there is: a short page of theirs leaves the details out.
_WHOLE = frozenset({"audit", "certify", "demo"})
#: Results that have sections of their own.
_OWN_SECTIONS = frozenset({"against", "coordinates", "series", "step_from"})
#: Results that the answer and the bounds tell already.
_TOLD = frozenset({"best", "verdict"})


def build_document(report: Report, verbosity: int = 0, *, one_screen: bool = False) -> Document:
    """Arrange a report for reading, the answer first.

    Args:
        report: what a command found.
        verbosity: 1 or more shows every row, both ends of every norm and the whole ledger.
        one_screen: leave out the details of a command that evaluates all that there is, unless
            ``verbosity`` asks for them; their titles are kept.

    Returns:
        The document; sections that the report has nothing for are left out.
    """
    brief = one_screen and not verbosity and report.command in _WHOLE
    found: list[Section | None] = [
        _errors_section(report.errors),
        verdict_section(report, brief=brief),
        bounds_section(report.bounds, report.headline, brief=brief),
        *_results(report, verbosity, brief=brief),
        layers_section(report.layers, verbosity, brief=brief),
        pictures_section(report.layers, report.bounds),
        checkpoint_section(report.provenance, report.settings, verbosity, brief=brief),
        skipped_section(report.skipped, verbosity),
        formulas_section(report.bounds),
        *compression_sections(report.bounds, report.layers, verbosity),
        *pac_bayes_sections(report.bounds, verbosity),
        *posterior_sections(report.bounds, report.results or {}, verbosity),
        rademacher_section(report.bounds),
        ledger_section(report.bounds, verbosity),
    ]
    sections = [section for section in found if section is not None]
    document = Document(
        title=f"dlgen {report.command}",
        subject="" if report.provenance is None else report.provenance.checkpoint,
        version=f"dlgen {report.dlgen_version}",
        sections=tuple(sections),
    )
    if not brief:
        return document
    details = [section for section in document.written if section.role == "detail"]
    return replace(
        document,
        sections=tuple(section for section in sections if section.role != "detail"),
        left_out=tuple(section.title for section in details),
    )


def _results(report: Report, verbosity: int, *, brief: bool) -> Sequence[Section | None]:
    """The results; some have sections of their own."""
    results: Mapping[str, Any] = report.results or {}
    if "verdicts" in results and "curves" in results:
        return postulates_sections(results)
    # The bounds tell what certificates do, but which labels each speaks of where some were altered.
    is_told = brief or not any("labels" in row for row in terms.rows(results, "certificates"))
    aside = (
        _OWN_SECTIONS
        | (_TOLD if report.headline else set())
        | ({"certificates"} if is_told and report.bounds else set())
    )
    plain = {name: value for name, value in results.items() if name not in aside}
    return [
        results_section(plain, verbosity),
        comparison_section(results.get("against"), verbosity),
        series_section(results, verbosity),
    ]


def _errors_section(errors: Sequence[ReportError]) -> Section | None:
    if not errors:
        return None
    blocks: list[Block] = []
    for error in errors:
        blocks.append(Paragraph(text=f"{error.code}: {error.message}", tone="bad"))
        if error.remedy:
            blocks.append(Paragraph(text=error.remedy))
    return Section(title="Errors", blocks=tuple(blocks), role="answer")
