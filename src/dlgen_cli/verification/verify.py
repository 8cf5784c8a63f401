"""A saved report, recomputed: every bound from its terms, and every part against the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

from dlgen_cli.bounds.recorded_fields import (
    Fields,
    UnusableField,
    is_first,
    read_assumptions,
)
from dlgen_cli.bounds.refutation import refute
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.theorem import is_withheld
from dlgen_cli.errors import DlgenError
from dlgen_cli.records import REGIMES, Bound, RecordedErrors
from dlgen_cli.verification.agreement import (
    check_anchors,
    check_certificates,
    check_delta,
    check_drawn,
    check_layers,
    check_margin,
    check_parameters,
    check_posteriors,
    check_results,
    check_settings,
    check_theorems,
)
from dlgen_cli.verification.comparison import Comparison, Mismatch
from dlgen_cli.verification.headline import check_headline
from dlgen_cli.verification.ledger import check_ledger
from dlgen_cli.verification.line_up import SHARING, check_line_up, check_shares
from dlgen_cli.verification.nodes import check_nodes, check_one_network
from dlgen_cli.verification.unions import check_sisters, check_unions

_COUNTS = {one.name for one in fields(RecordedErrors)} - {"dataset"}
#: What a field may raise that holds a number no theorem accepts: out of its range, or of a size
#: that no arithmetic can hold.
_IMPOSSIBLE = (DlgenError, ArithmeticError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What recomputing a report found.

    Attributes:
        bounds: bounds in the report.
        checked: fields of bounds that were recomputed and compared.
        mismatches: fields that are not what the other fields say; empty for a sound report.
    """

    bounds: int
    checked: int
    mismatches: tuple[Mismatch, ...]


def verify(report: Fields) -> Verification:
    """Recompute every bound of a report from the numbers in it.

    Each theorem is evaluated again from its recorded terms, in the same upward arithmetic, so
    that every float must come out the same to the last bit. Then the parts are held against each
    other: settings, shares of delta, the best of a sweep, the headline, norms of layers. What a
    report cannot tell is whether its measurements are those of the checkpoint: audit the file
    with the recorded sha256 again for that.

    Args:
        report: from `dlgen_cli.verification.read_report`.

    Returns:
        The mismatches.
    """
    comparison = Comparison()
    mismatches: list[Mismatch] = []
    recomputed: dict[str, Bound] = {}
    written: dict[str, int] = {}
    rows = list(_rows(report, mismatches))
    names = [str(row.get("theorem")) for row in rows]
    mismatches += check_theorems(names, list(THEOREMS))
    recorded: list[RecordedErrors] = []
    mismatches += _guarded(partial(_read_errors, report, recorded), report)
    conclude = partial(_concluded, recorded=recorded, is_first=is_first(report))
    for row, name in zip(rows, names, strict=True):
        if name in THEOREMS:
            check = partial(_check_bound, row, comparison, recomputed, written, conclude)
            mismatches += _guarded(check, row)
    own = [] if is_first(report) else [partial(_check_whole, report, rows, written)]
    for check in (
        *own,
        partial(_check_shared, report, rows),
        partial(check_layers, report),
        partial(check_parameters, report),
        partial(check_results, report),
        partial(check_headline, report, recomputed, conclude),
        partial(check_certificates, report),
        partial(check_posteriors, report),
        partial(check_drawn, report),
    ):
        mismatches += _guarded(check, report)
    unique = {one.where: one for one in reversed(mismatches)}
    return Verification(
        bounds=len(rows),
        checked=comparison.checked,
        mismatches=tuple(reversed(unique.values())),
    )


def _rows(report: Fields, mismatches: list[Mismatch]) -> Iterator[Fields]:
    try:
        yield from report.rows("bounds")
    except UnusableField as field:
        mismatches.append(_unusable(field))


def _guarded(check: Callable[[], Iterator[Mismatch]], about: Fields) -> list[Mismatch]:
    """Turn a field that no theorem accepts into a mismatch."""
    found: list[Mismatch] = []
    try:
        found.extend(check())
    except UnusableField as field:
        found.append(_unusable(field))
    except _IMPOSSIBLE as error:
        where = about.path("terms") if about.where else "report"
        found.append(Mismatch(where=where, recorded="numbers", recomputed=f"none: {error}"))
    return found


def _unusable(field: UnusableField) -> Mismatch:
    return Mismatch(where=field.where, recorded=field.found, recomputed=f"{field.expected}")


def _read_errors(report: Fields, found: list[RecordedErrors]) -> Iterator[Mismatch]:
    """The errors on record, where the report tells any."""
    provenance = Fields(report.get("provenance") or {}, "provenance")
    if "recorded_errors" not in provenance.values:
        return
    row = provenance.fields("recorded_errors")
    dataset = row.text("dataset")
    counts = {one: row.count(one) for one in row.values if one != "dataset"}
    if dataset not in REGIMES or counts.keys() != _COUNTS:
        yield Mismatch(where=row.where, recorded=dict(row.values), recomputed="errors of a regime")
        return
    recorded = RecordedErrors(dataset=dataset, **counts)
    for part, whole in (
        (recorded.altered, recorded.examples),
        (recorded.training_errors, recorded.examples),
        (recorded.test_errors, recorded.test_examples),
        (1, recorded.classes),
    ):
        if not 0 <= part <= whole or whole < 1:
            yield Mismatch(where=row.where, recorded=part, recomputed=f"from 0 to {whole}")
            return
    found.append(recorded)


def _concluded(bound: Bound, *, recorded: Sequence[RecordedErrors], is_first: bool) -> Bound:
    """A recomputed bound with the status that its report's schema gives it."""
    if not is_first:
        return refute(bound, recorded[0] if recorded else None)
    return replace(bound, status="holds") if bound.status == "conditional" else bound


def _check_bound(
    row: Fields,
    comparison: Comparison,
    recomputed: dict[str, Bound],
    written: dict[str, int],
    conclude: Callable[[Bound], Bound],
) -> Iterator[Mismatch]:
    theorem, terms = row.text("theorem"), row.fields("terms")
    lines = read_assumptions(row)
    delta = 0.0 if is_withheld(terms) else terms.number("delta")
    bound = conclude(THEOREMS[theorem].recompute(terms, delta, lines))
    recomputed[theorem] = bound
    # A theorem appends lines of its own: they must be the last ones on record.
    own = bound.assumptions[len(lines) :]
    written[theorem] = len(own)
    if own and lines[-len(own) :] != own:
        yield Mismatch(
            where=row.path("assumptions"),
            recorded=[line.statement for line in lines],
            recomputed=[line.statement for line in own],
        )
    if bound.status == "not_applicable" and all(line.status != "violated" for line in lines):
        yield Mismatch(
            where=row.path("assumptions"), recorded="no violated line", recomputed="one or more"
        )
    for name in (one.name for one in fields(Bound)):
        if name != "assumptions":
            yield from comparison.compare(row.get(name), getattr(bound, name), row.path(name))


def _check_whole(report: Fields, rows: list[Fields], written: dict[str, int]) -> Iterator[Mismatch]:
    """What the second schema tells: line-up, shares, unions, facts of nodes, and ledgers."""
    yield from check_line_up(report)
    yield from check_shares(report)
    yield from check_sisters(report)
    yield from check_one_network(report)
    for row in rows:
        yield from check_unions(row, report)
        yield from check_nodes(row, report)
        yield from check_ledger(row, report, written.get(str(row.get("theorem")), 0))
        yield from _check_prices(row)


def _check_prices(row: Fields) -> Iterator[Mismatch]:
    """The terms that say which prices were paid: without them a bound is one of schema 1."""
    theorem = THEOREMS.get(str(row.get("theorem")))
    terms = row.fields("terms")
    if theorem is None or is_withheld(terms) or row.get("status") == "not_applicable":
        return
    for name in theorem.required_terms:
        if name not in terms.values:
            yield Mismatch(where=terms.path(name), recorded="nothing", recomputed="a number")


def _check_shared(report: Fields, rows: list[Fields]) -> Iterator[Mismatch]:
    settings = report.fields("settings")
    yield from check_margin(settings)
    widths = [row.fields("terms").optional_number("widths") for row in rows]
    for row in rows:
        if not is_withheld(row.fields("terms")):
            yield from check_settings(row, settings)
        yield from check_anchors(row)
        yield from check_delta(
            row,
            settings,
            int(next((one for one in widths if one), 1)),
            may_share=report.get("command") in SHARING,
        )
