"""Resizing of maps: which matrix an axis is multiplied by, and its norms.

Every interpolation of torch is ``A x B^T`` on each channel, with one matrix for each axis, whose
rows say which cells an entry of the result is made of. Row i looks at the place ``p`` of the n
cells that become k: ``(i + 1/2) r - 1/2`` with the ratio ``r = n / k``, or ``i (n - 1) / (k - 1)``
where the corners are aligned. Cells outside of the map are those at its edge.

- ``linear``: the two cells around p, by ``1 - t`` and ``t``.
- ``cubic``: the four cells around p, by Keys' kernel with ``a = -3/4``. Some weights are negative.
- against aliasing: all cells within the support of the triangle or of Keys' kernel with
  ``a = -1/2``, stretched by r where the map shrinks; divided by their sum. No cell is repeated at
  an edge.
- ``nearest``: one cell. torch rounds its ratio to float32, which may shift a cell: where that is
  not exact and the place that close to a boundary both cells are counted, and the norm is that of
  more than is there.
- ``area``: the mean over windows of nearly equal sizes, as adaptive pooling.

Weights are rational numbers and are taken exactly. With them

- an entry of the result is at most ``||A||_inf ||B||_inf`` times the largest entry of x, the
  largest sums of magnitudes of a row;
- so is a token that lies across the channels, in its 2-norm: it is that sum of tokens;
- the whole is at most ``||A||_2 ||B||_2`` times as large. Where no weight is negative
  ``||A||_2^2 <= ||A^T A||_inf <= ||A^T||_inf ||A||_inf``; where n divides k this is what constant
  maps attain. Else ``||A||_2^4`` is the largest eigenvalue of ``H = (A A^T)^2``, at most that of
  |H|, which is at most ``max_i (|H| v)_i / v_i`` for every positive v (Collatz and Wielandt, as in
  `dlgen_cli.networks.pooling`). Entries of H are summed exactly before magnitudes are taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from dlgen_cli.networks.calls import Call, NoRuleError
from dlgen_cli.networks.pooling import largest_eigenvalue, root_upper
from dlgen_cli.records import GraphNode

#: Weights by cell, for each row of the matrix of one axis.
Rows = Sequence[dict[int, Fraction]]
_Kernel = Callable[[Fraction], Fraction]


def resize(call: Call) -> GraphNode:
    """``interpolate`` and ``nn.Upsample``: linear, with the norms of its matrices.

    Raises:
        NoRuleError: torch has no such interpolation, or its arguments are not numbers.
    """
    first, after, mode = call.only(), call.result_shape, _mode(call)
    if first.shape is None or after is None or mode not in _MODES:
        raise NoRuleError(f"it interpolates in the mode {mode}: no rule")
    sizes = list(zip(first.shape[2:], after[2:], strict=True))
    square = of_entry = Fraction(1)
    for (cells, count), factor in zip(sizes, _factors(call, len(sizes)), strict=True):
        rows = _rows(call, mode, cells, count, factor)
        square *= norm_squared(rows, cells)
        of_entry *= max(_sum_of_magnitudes(row) for row in rows)
    axis = -len(sizes) - 1
    axis_kept = axis if first.token_axis == axis else None
    exact = float(of_entry)
    entry = exact if Fraction(exact) >= of_entry else math.nextafter(exact, math.inf)
    return call.becomes(
        "scale",
        factor_upper=root_upper(square),
        token_factor_upper=None if axis_kept is None else entry,
        entry_factor_upper=entry,
        token_axis=axis_kept,
    )


def _mode(call: Call) -> str:
    given = str(call.setting("mode", "nearest"))
    if call.operation == "upsamplingbilinear2d":
        given = "bilinear"
    return {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(given, given)


def _factors(call: Call, axes: int) -> Sequence[Fraction | None]:
    """By which factor an axis is said to grow, where that and not its sizes places the cells."""
    given: Any = call.setting("scale_factor", None)
    if given is None or call.setting("recompute_scale_factor", None):
        return [None] * axes
    several = [given] * axes if isinstance(given, int | float) else list(given)
    if len(several) != axes or not all(isinstance(one, int | float) for one in several):
        raise NoRuleError("it resizes by factors that are no numbers")
    return [Fraction(one) for one in several]


def _rows(call: Call, mode: str, cells: int, count: int, factor: Fraction | None) -> Rows:
    ratio = Fraction(cells, count) if factor is None else 1 / factor
    is_aligned = bool(call.setting("align_corners", None)) and mode in {"linear", "cubic"}
    is_aligned |= call.operation == "upsamplingbilinear2d"
    if call.setting("antialias", default=False):
        if is_aligned or mode not in _AGAINST_ALIASING:
            raise NoRuleError("it filters against aliasing with aligned corners: no rule")
        return filtered_rows(mode, cells, count, ratio)
    if is_aligned:
        ratio = Fraction(cells - 1, count - 1) if count > 1 else Fraction(0)
    return interpolation_rows(mode, cells, count, ratio, is_aligned=is_aligned)


def interpolation_rows(
    mode: str, cells: int, count: int, ratio: Fraction | None = None, *, is_aligned: bool = False
) -> Rows:
    """The matrix of one axis, exactly: weights by cell, for each of its rows.

    Args:
        mode: ``linear``, ``cubic``, ``nearest``, ``nearest-exact`` or ``area``.
        cells: on the axis, at least 1.
        count: what they become, at least 1.
        ratio: of a step in the result to one of the map; ``cells / count`` where None.
        is_aligned: whether the first place is that of the first cell.
    """
    ratio = Fraction(cells, count) if ratio is None else ratio
    half = Fraction(0) if is_aligned else Fraction(1, 2)
    if mode in {"nearest", "nearest-exact"}:
        half = Fraction(0) if mode == "nearest" else half
        error = Fraction(0) if _is_float32(ratio) else _ROUNDED
        return [_nearest_cells((i + half) * ratio, cells, error) for i in range(count)]
    if mode == "area":
        windows = [(i * cells // count, -(-(i + 1) * cells // count)) for i in range(count)]
        return [dict.fromkeys(range(*one), Fraction(1, one[1] - one[0])) for one in windows]
    of_place = _two_cells if mode == "linear" else _four_cells
    return [of_place((i + half) * ratio - half, cells) for i in range(count)]


def _two_cells(place: Fraction, cells: int) -> dict[int, Fraction]:
    place = max(place, Fraction(0))
    left = math.floor(place)
    share = place - left
    return _collected([(left, 1 - share), (left + 1, share)], cells)


def _four_cells(place: Fraction, cells: int) -> dict[int, Fraction]:
    left = math.floor(place)
    kernel = _cubic(Fraction(-3, 4))
    return _collected([(one, kernel(place - one)) for one in range(left - 1, left + 3)], cells)


def _nearest_cells(place: Fraction, cells: int, error: Fraction) -> dict[int, Fraction]:
    near = {math.floor(place * (1 + share)) for share in (-error, Fraction(0), error)}
    return {min(max(cell, 0), cells - 1): Fraction(1) for cell in near}


_ROUNDED = Fraction(1, 2**20)


def _is_float32(ratio: Fraction) -> bool:
    """Whether places are computed without rounding: by few bits of which none is lost."""
    denominator = ratio.denominator
    return denominator & (denominator - 1) == 0 and max(denominator, ratio.numerator) < 2**10


def _collected(weights: Sequence[tuple[int, Fraction]], cells: int) -> dict[int, Fraction]:
    """Cells outside of the map are those at its edge."""
    row: dict[int, Fraction] = {}
    for cell, weight in weights:
        inside = min(max(cell, 0), cells - 1)
        row[inside] = row.get(inside, Fraction(0)) + weight
    return {cell: weight for cell, weight in row.items() if weight}


def _cubic(a: Fraction) -> _Kernel:
    """Keys' kernel."""

    def kernel(distance: Fraction) -> Fraction:
        d = abs(distance)
        if d <= 1:
            return ((a + 2) * d - (a + 3)) * d * d + 1
        return a * (((d - 5) * d + 8) * d - 4) if d < 2 else Fraction(0)

    return kernel


def _triangle(distance: Fraction) -> Fraction:
    return max(Fraction(0), 1 - abs(distance))


def filtered_rows(mode: str, cells: int, count: int, ratio: Fraction) -> Rows:
    """The same with a filter against aliasing.

    Args:
        mode: ``linear`` or ``cubic``.
        cells: on the axis.
        count: what they become.
        ratio: see `interpolation_rows`.
    """
    kernel, radius = _AGAINST_ALIASING[mode]
    stretch = max(ratio, Fraction(1))
    rows = []
    for index in range(count):
        place = (index + Fraction(1, 2)) * ratio - Fraction(1, 2)
        first = max(0, math.ceil(place - radius * stretch))
        last = min(cells - 1, math.floor(place + radius * stretch))
        weights = {cell: kernel((cell - place) / stretch) for cell in range(first, last + 1)}
        total = sum(weights.values(), Fraction(0))
        rows.append({cell: weight / total for cell, weight in weights.items() if weight})
    return rows


_MODES = frozenset({"linear", "cubic", "nearest", "nearest-exact", "area"})
#: Kernel, and how far it reaches.
_AGAINST_ALIASING: dict[str, tuple[_Kernel, int]] = {
    "linear": (_triangle, 1),
    "cubic": (_cubic(Fraction(-1, 2)), 2),
}


def norm_squared(rows: Rows, cells: int) -> Fraction:
    """``||A||_2^2`` of the matrix of an axis, or more: see above."""
    columns = _transposed(rows, cells)
    plain = max(map(_sum_of_magnitudes, columns)) * max(map(_sum_of_magnitudes, rows))
    if all(weight >= 0 for row in rows for weight in row.values()):
        return plain
    gram = _gram(rows if len(rows) <= cells else columns)
    magnitudes = [{cell: abs(one) for cell, one in row.items()} for row in _gram(gram)]
    return min(plain, Fraction(root_upper(largest_eigenvalue(magnitudes))))


def _gram(rows: Rows) -> Rows:
    """``A A^T``; of a symmetric matrix its square."""
    columns = _transposed(rows, 1 + max(cell for row in rows for cell in row))
    gram = []
    for row in rows:
        products: dict[int, Fraction] = {}
        for cell, weight in row.items():
            for other, factor in columns[cell].items():
                products[other] = products.get(other, Fraction(0)) + weight * factor
        gram.append(products)
    return gram


def _transposed(rows: Rows, cells: int) -> Rows:
    columns: list[dict[int, Fraction]] = [{} for _ in range(cells)]
    for index, row in enumerate(rows):
        for cell, weight in row.items():
            columns[cell][index] = weight
    return columns


def _sum_of_magnitudes(row: dict[int, Fraction]) -> Fraction:
    return sum((abs(weight) for weight in row.values()), Fraction(0))
