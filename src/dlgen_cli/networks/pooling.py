"""Operator norms of pooling, from the windows themselves.

Every pooling here is a product over the spatial axes, and so is its norm. On one axis window i
covers the cells of ``range(start, stop, step)``; cells outside of the map are padding.

Mean pooling is a matrix A with the entries ``1/d_i`` in row i. ``||A||^2`` is the largest
eigenvalue of the nonnegative matrix ``G = A A^T``, and that is at most ``max_i (G v)_i / v_i`` for
*every* positive v (Collatz and Wielandt; Horn and Johnson 2013, "Matrix Analysis", Corollary
8.1.31). A few steps of the power method choose v; the quotient is evaluated exactly. For windows
that do not overlap, of k cells each, ``||A|| = 1/sqrt(k)``.

Max pooling: each output moves at most as far as some cell of its window, and a cell stands in
at most c windows, so ``||max(x) - max(y)||^2 <= c ||x - y||^2``. Windows that do not overlap
have c = 1; windows of k cells at stride s have ``c = ceil(k/s)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import repeat
from typing import Any, TypeVar

from dlgen_cli.networks.calls import Call, NoRuleError
from dlgen_cli.networks.token_axes import is_axis
from dlgen_cli.records import GraphNode

Window = range
_Real = TypeVar("_Real", float, Fraction)
_POWER_STEPS = 40
_GRID = 2**20


def root_upper(square: Fraction | int) -> float:
    """Square root, rounded upward; exact where the root is a float."""
    exact = Fraction(square)
    root = math.sqrt(exact)
    while Fraction(root) ** 2 < exact:
        root = math.nextafter(root, math.inf)
    return root


def mean_over_entries(call: Call) -> GraphNode:
    """``mean`` over any axes: k entries become one, norm ``1/sqrt(k)``.

    A mean of tokens is no larger than the largest of them, nor one of entries.
    """
    cells = call.only().entries // call.result_entries
    return _over_entries(call, root_upper(Fraction(1, cells)), 1.0)


def sum_over_entries(call: Call) -> GraphNode:
    """``sum`` over any axes: k entries become one, norm ``sqrt(k)``."""
    cells = call.only().entries // call.result_entries
    return _over_entries(call, root_upper(cells), float(cells))


def _over_entries(call: Call, factor: float, of_each: float) -> GraphNode:
    axis = _axis_after_reduction(call)
    return call.becomes(
        "scale",
        factor_upper=factor,
        token_factor_upper=None if axis is None else of_each,
        entry_factor_upper=None if axis is None else of_each,
        token_axis=axis,
    )


def cumulative_sum(call: Call) -> GraphNode:
    """``cumsum`` along one axis of n: a triangle of ones.

    Its sum of squares is ``n (n + 1) / 2``, which bounds the square of its norm; an entry, or a
    token across another axis, is a sum of n at most.
    """
    first, axis = call.only(), call.setting("dim", None)
    if first.shape is None or not isinstance(axis, int):
        raise NoRuleError("it names no axis")
    place = axis % len(first.shape)
    size, kept = first.shape[place], first.token_axis
    kept = None if kept is None or kept % len(first.shape) == place else kept
    return call.becomes(
        "scale",
        factor_upper=root_upper(Fraction(size * (size + 1), 2)),
        token_factor_upper=None if kept is None else float(size),
        entry_factor_upper=float(size),
        token_axis=kept,
    )


def _axis_after_reduction(call: Call) -> int | None:
    """The axis of the tokens, where the reduction leaves it out."""
    first, chosen = call.only(), call.setting("dim", None)
    if first.token_axis is None or first.shape is None or chosen is None:
        return None
    count, axis = len(first.shape), first.token_axis
    reduced = {one % count for one in (chosen if isinstance(chosen, tuple | list) else (chosen,))}
    if axis % count in reduced:
        return None
    if not call.setting("keepdim", default=False):
        axis += sum(one > axis % count for one in reduced)
    return axis if is_axis(call, axis) else None


def average_pool(call: Call) -> GraphNode:
    """``avg_pool`` with any stride, padding and rounding of its size."""
    sizes, outputs = _spatial(call)
    kernel, stride, padding = _window_settings(call, len(sizes))
    override = call.setting("divisor_override", None)
    counts_padding = bool(call.setting("count_include_pad", default=True))
    square = Fraction(1)
    for size, count, k, s, p in zip(sizes, outputs, kernel, stride, padding, strict=True):
        windows = [range(i * s - p, min(i * s - p + k, size + p)) for i in range(count)]
        if override is not None:
            divisors = [1] * count
        elif counts_padding:
            divisors = [len(window) for window in windows]
        else:
            divisors = [len(_inside(window, size)) for window in windows]
        square *= _mean_norm_squared(windows, divisors, size)
    if override is not None:
        square /= Fraction(override) ** 2
    return call.becomes("scale", factor_upper=root_upper(square))


def adaptive_average_pool(call: Call) -> GraphNode:
    """``adaptive_avg_pool``: windows of nearly equal sizes, which may overlap."""
    square = Fraction(1)
    for size, count in zip(*_spatial(call), strict=True):
        windows = _adaptive_windows(size, count)
        square *= _mean_norm_squared(windows, [len(window) for window in windows], size)
    return call.becomes("scale", factor_upper=root_upper(square))


def max_pool(call: Call) -> GraphNode:
    """``max_pool`` with any stride, padding and dilation."""
    sizes, outputs = _spatial(call)
    kernel, stride, padding = _window_settings(call, len(sizes))
    dilation = _for_each_axis(call.setting("dilation", 1), len(sizes))
    copies = 1
    for size, count, k, s, p, t in zip(
        sizes, outputs, kernel, stride, padding, dilation, strict=True
    ):
        windows = [range(i * s - p, i * s - p + t * (k - 1) + 1, t) for i in range(count)]
        copies *= largest_multiplicity(windows, size)
    return call.becomes("max_pool", factor_upper=root_upper(copies))


def adaptive_max_pool(call: Call) -> GraphNode:
    """``adaptive_max_pool``."""
    copies = 1
    for size, count in zip(*_spatial(call), strict=True):
        copies *= largest_multiplicity(_adaptive_windows(size, count), size)
    return call.becomes("max_pool", factor_upper=root_upper(copies))


def _spatial(call: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = int(call.operation.removesuffix("d")[-1])
    before, after = call.only().shape, call.result_shape
    if before is None or after is None:
        raise NoRuleError("it returns the places of the maxima too")
    return before[-axes:], after[-axes:]


def _window_settings(call: Call, axes: int) -> tuple[tuple[int, ...], ...]:
    kernel = _for_each_axis(call.setting("kernel_size", None), axes)
    stride = call.setting("stride", None)
    padding = _for_each_axis(call.setting("padding", 0), axes)
    return kernel, _for_each_axis(stride, axes) if stride else kernel, padding


def _for_each_axis(setting: Any, axes: int) -> tuple[int, ...]:
    if isinstance(setting, int):
        return tuple(repeat(setting, axes))
    return tuple(int(one) for one in setting) * (axes if len(setting) == 1 else 1)


def _adaptive_windows(size: int, count: int) -> list[Window]:
    return [range(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _inside(window: Window, size: int) -> list[int]:
    return [cell for cell in window if 0 <= cell < size]


def _mean_norm_squared(windows: Sequence[Window], divisors: Sequence[int], size: int) -> Fraction:
    """Upper bound on the squared norm of the averaging matrix of one axis."""
    rows = [(_inside(window, size), d) for window, d in zip(windows, divisors, strict=True)]
    rows = [(cells, divisor) for cells, divisor in rows if cells]
    return _collatz_wielandt(partial(_gram_times, rows, size), len(rows))


def largest_eigenvalue(matrix: Sequence[Mapping[int, Fraction]]) -> Fraction:
    """Upper bound on the largest eigenvalue of a nonnegative matrix without a row of zeros.

    Args:
        matrix: entries by column, for each row.
    """

    def times(vector: Sequence[_Real]) -> list[_Real]:
        kind = type(vector[0])
        return [
            sum((kind(one) * vector[column] for column, one in row.items()), kind(0))
            for row in matrix
        ]

    return _collatz_wielandt(times, len(matrix))


def _collatz_wielandt(times: Callable[[Sequence[Any]], list[Any]], size: int) -> Fraction:
    """``max_i (G v)_i / v_i`` for a vector v that a few steps of the power method choose."""
    trial = [1.0] * size
    for _ in range(_POWER_STEPS):
        image = times(trial)
        largest = max(image)
        trial = [value / largest for value in image]
    grid = [Fraction(max(1, round(value * _GRID))) for value in trial]
    ratios: list[Fraction] = [one / two for one, two in zip(times(grid), grid, strict=True)]
    return max(ratios)


def _gram_times(
    rows: Sequence[tuple[list[int], int]], size: int, vector: Sequence[_Real]
) -> list[_Real]:
    """``A (A^T v)``."""
    columns: list[_Real] = [vector[0] * 0] * size
    for (cells, divisor), value in zip(rows, vector, strict=True):
        share = value / divisor
        for cell in cells:
            columns[cell] += share
    zero = vector[0] * 0
    return [sum((columns[cell] for cell in cells), zero) / divisor for cells, divisor in rows]


def largest_multiplicity(windows: Sequence[Window], size: int) -> int:
    """In how many windows a cell of an axis stands at most.

    Args:
        windows: the cells of each; those outside of the axis are padding.
        size: of the axis.

    Raises:
        NoRuleError: a window lies in the padding alone.
    """
    columns = [0] * size
    for window in windows:
        cells = _inside(window, size)
        if not cells:
            raise NoRuleError("a window lies in the padding alone")
        for cell in cells:
            columns[cell] += 1
    return max(columns)
