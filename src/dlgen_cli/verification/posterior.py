"""What a report says beside the bound of a trained posterior: its sweep and its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification.comparison import Mismatch

_THEOREM = "pac_bayes.posterior"
#: Sums are rounded upward.
_ROUNDING = 1e-12


def check_posterior(report: Fields) -> Iterator[Mismatch]:
    """The posteriors are those of the settings, and the coordinates' nats add up to the bound's."""
    settings = report.fields("settings")
    for bound in report.rows("bounds"):
        if bound.get("theorem") != _THEOREM:
            continue
        terms = bound.fields("terms")
        if "shrink" in settings.values:
            expected = [posterior_name(one) for one in settings.numbers("shrink")]
            found = [row.text("name") for row in terms.rows("posteriors")]
            if found != expected:
                where = settings.path("shrink")
                yield Mismatch(where=where, recorded=expected, recomputed=found)
        yield from _check_coordinates(report, terms)


def posterior_name(shrink: float) -> str:
    """What a posterior is called whose mean went ``shrink`` times its way from the prior's."""
    return "as trained" if shrink == 1 else f"shrink {float(shrink)}"


def _check_coordinates(report: Fields, terms: Fields) -> Iterator[Mismatch]:
    results = report.get("results")
    if results is None or "coordinates" not in report.fields("results").values:
        return
    rows = list(report.fields("results").rows("coordinates"))
    for name in ("distance_nats_upper", "spread_nats_upper"):
        parts = [row.number(name) for row in rows]
        least, total = math.fsum(parts), terms.number(name)
        if min(parts, default=0.0) < 0 or not least <= total <= least * (1 + _ROUNDING):
            where = f"results.coordinates.{name}"
            yield Mismatch(where=where, recorded=least, recomputed=total)
