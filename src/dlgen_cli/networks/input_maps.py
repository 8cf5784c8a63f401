"""What inputs pass before the first layer: a resize, and normalizations that nothing trains.

Bilinear resizing is ``A x B^T`` on every channel, with one matrix for each axis. Row i of an axis'
matrix holds the weights ``1 - t`` and ``t`` of the two cells around ``(i + 1/2) n / k - 1/2``, for
n cells that become k; outside of the map the nearest cell takes both (torch with
``align_corners=False``, without a filter against aliasing). They are nonnegative and their sum is
1, so ``||A||^2 <= ||A^T A||_inf <= ||A^T||_inf ||A||_inf`` is the largest sum of a column. Where n
divides k that is ``k / n``, which constant maps attain.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from dlgen_cli.architectures.row_normalization import LEAST_NORM
from dlgen_cli.networks.calls import Call, NoRuleError
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.records import GraphNode


def resize(call: Call) -> GraphNode:
    """``interpolate`` to a fixed size, bilinear or nearest: linear, with the norm of its matrix.

    Raises:
        NoRuleError: it is another interpolation.
    """
    before, after = call.only().shape, call.result_shape
    mode, size = call.setting("mode", "nearest"), call.setting("size", None)
    if before is None or after is None or mode not in {"bilinear", "linear", "nearest"}:
        raise NoRuleError(f"it interpolates in the mode {mode}; bilinear and nearest have a rule")
    if call.setting("align_corners", None) or call.setting("antialias", default=False):
        raise NoRuleError("it aligns the corners or filters against aliasing: no rule")
    sizes = list(zip(before[2:], after[2:], strict=True))
    factor = call.setting("scale_factor", None)
    is_whole = isinstance(factor, int | float) and float(factor).is_integer()
    if size is None and not (is_whole and all(count == factor * cells for cells, count in sizes)):
        raise NoRuleError("it resizes by a factor that is not whole; a fixed size has a rule")
    square = Fraction(1)
    for cells, count in sizes:
        rows = nearest_rows if mode == "nearest" else interpolation_rows
        square *= largest_column_sum(rows(cells, count), cells)
    return call.becomes("scale", factor_upper=root_upper(square), entry_factor_upper=1.0)


def nearest_rows(cells: int, count: int) -> list[dict[int, Fraction]]:
    """The same for the mode ``nearest``: row i takes cell ``floor(i n / k)``, or its neighbour.

    torch rounds the ratio to float32, which may shift a cell: where ``i n / k`` is that close to a
    whole number both cells are counted, and the norm is that of more than what is there.
    """
    rows = []
    for index in range(count):
        exact = Fraction(index * cells, count)
        near = {int(exact * (1 + share)) for share in (Fraction(-1, 2**20), 0, Fraction(1, 2**20))}
        rows.append({min(max(cell, 0), cells - 1): Fraction(1) for cell in near})
    return rows


def interpolation_rows(cells: int, count: int) -> list[dict[int, Fraction]]:
    """The interpolation matrix of one axis, exactly: weights by cell, for each of its rows.

    Args:
        cells: on the axis, at least 1.
        count: what they become, at least 1.
    """
    rows = []
    for index in range(count):
        position = max(Fraction((2 * index + 1) * cells - count, 2 * count), Fraction(0))
        left = int(position)
        share = position - left if left + 1 < cells else Fraction(0)
        rows.append({left: 1 - share} | ({left + 1: share} if share else {}))
    return rows


def largest_column_sum(rows: Sequence[dict[int, Fraction]], cells: int) -> Fraction:
    """The largest sum of a column, which is ``||A||^2`` or more where every row's sum is 1."""
    columns = [Fraction(0)] * cells
    for row in rows:
        for cell, weight in row.items():
            columns[cell] += weight
    return max(columns)


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
