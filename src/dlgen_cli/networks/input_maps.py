"""What inputs pass before the first layer: normalizations that nothing trains."""

from __future__ import annotations

from fractions import Fraction

from dlgen_cli.architectures.row_normalization import LEAST_NORM
from dlgen_cli.networks.calls import Call
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.records import GraphNode


def normalize_by_constants(call: Call) -> GraphNode:
    """A `FixedNormalization`: diagonal, with a constant that stands at every position."""
    factors, shifts = call.setting("factors", ()), call.setting("shifts", ())
    positions = call.only().entries // len(shifts)
    return call.becomes(
        "scale",
        factor_upper=max(abs(one) for one in factors),
        offset_upper=root_upper(positions * sum(Fraction(one) ** 2 for one in shifts)),
    )


def normalize_rows(call: Call) -> GraphNode:
    """A `RowNormalization`: each part is projected onto a ball and scaled to norm ``sqrt(k)``.

    A projection moves no two points apart, so that ``sqrt(k)`` over the ball's radius is the map's
    constant; k of all parts together bounds that of each, and the norm of the values.
    """
    entries = call.only().entries
    largest = root_upper(entries)
    return call.becomes(
        "lipschitz",
        factor_upper=root_upper(entries / Fraction(LEAST_NORM) ** 2),
        cap_upper=largest,
        spread_upper=root_upper(4 * entries),
    )
