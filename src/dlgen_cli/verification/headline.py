"""The headline, evaluated again from the bound that it names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from dlgen_cli.bounds.recorded_fields import Fields, read_assumptions
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.records import Bound
from dlgen_cli.verification.comparison import Mismatch
from dlgen_cli.verification.line_up import SHARING

_ROUNDING = 1e-12


def check_headline(
    report: Fields, recomputed: Mapping[str, Bound], conclude: Callable[[Bound], Bound]
) -> Iterator[Mismatch]:
    """It is the smallest candidate at its share of delta, and the shares add up to delta.

    Args:
        report: as recorded.
        recomputed: the bounds of the report, by theorem.
        conclude: gives a bound the status that the report's schema and record give it.

    Yields:
        What differs.
    """
    if report.get("headline") is None:
        return
    headline = report.fields("headline")
    candidates, theorem = headline.texts("candidates"), headline.text("theorem")
    delta = headline.number("delta")
    whole = report.fields("settings").number("delta")
    spent = delta * len(candidates)
    is_less = spent < whole * (1 - _ROUNDING) and report.get("command") not in SHARING
    if spent > whole * (1 + _ROUNDING) or is_less:
        expected = f"{whole} in {len(candidates)} shares"
        yield Mismatch(where=headline.path("delta"), recorded=delta, recomputed=expected)
    if theorem not in candidates or theorem not in recomputed:
        expected = "one of the candidates that the report holds"
        yield Mismatch(where=headline.path("theorem"), recorded=theorem, recomputed=expected)
        return
    at_share = {
        row.text("theorem"): conclude(_at_share(row, delta))
        for row in report.rows("bounds")
        if row.text("theorem") in candidates and row.text("theorem") in recomputed
    }
    best = at_share[theorem]
    if any(_size(best) > _size(bound) for bound in at_share.values()) or _size(best) == math.inf:
        expected = "the smallest candidate that applies"
        yield Mismatch(where=headline.path("theorem"), recorded=theorem, recomputed=expected)
    if "status" in headline.values and headline.get("status") != best.status:
        found = headline.get("status")
        yield Mismatch(where=headline.path("status"), recorded=found, recomputed=best.status)
    yield from _check_values(headline, recomputed[theorem], best)


def _check_values(headline: Fields, own: Bound, best: Bound) -> Iterator[Mismatch]:
    """The value at the headline's share of delta, from that at the bound's own and again."""
    for name in ("value", "log10_value"):
        found, lower, upper = headline.get(name), getattr(own, name), getattr(best, name)
        if found == upper:
            continue
        # Where ranks and widths are chosen again at a share, the choice can only be better there.
        is_rechosen = THEOREMS[own.theorem].is_rechosen
        numbers = [one for one in (lower, found, upper) if isinstance(one, int | float)]
        if not is_rechosen or len(numbers) < 3 or numbers != sorted(numbers):
            yield Mismatch(where=headline.path(name), recorded=found, recomputed=upper)


def _size(bound: Bound) -> float:
    """The logarithm of a bound that applies; infinite where it does not."""
    applies = bound.status not in ("not_applicable", "refuted") and bound.log10_value is not None
    return bound.log10_value or 0.0 if applies else math.inf


def _at_share(row: Fields, delta: float) -> Bound:
    terms = row.fields("terms")
    if terms.optional_number("delta_monte_carlo") is not None:
        delta = terms.number("delta")  # its two shares are fixed together
    return THEOREMS[row.text("theorem")].recompute(terms, delta, read_assumptions(row))
