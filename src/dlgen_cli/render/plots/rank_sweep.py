"""Plots of what a bound is made of, drawn without a display and without global state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.bounds.compression import ALL_RANKS
from dlgen_cli.errors import OutputError
from dlgen_cli.render import terms
from dlgen_cli.render.plots import figures
from dlgen_cli.render.text import fold_words, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE = figures.PALETTE[:2]
_BLACK, _GREY = figures.INK, figures.QUIET
_PARTS = (
    ("value", "bound: their sum", _BLACK, "-", 3.0),
    ("complexity", "complexity", _BLUE, "--", 1.7),
    ("approximation", "approximation", _ORANGE, "-.", 1.7),
)
#: Up to this many decades the axis has powers of ten; beyond, the exponent itself.
_MOST_DECADES = 12
_TITLE_CELLS = 76
_STYLE = figures.STYLE | {"font.size": 10}


def plot_rank_sweep(
    sweep_rows: Sequence[Mapping[str, Any]], path: str | Path, *, title: str
) -> None:
    """Draw a compression bound and its two parts against the rank.

    Args:
        sweep_rows: one ``{rank, complexity, approximation, value}`` for each rank, with
            ``log10_`` companions where a float would overflow.
        path: where to; ``.png``, ``.svg`` or ``.pdf``.
        title: the line above the plot.

    Raises:
        OutputError: no row holds a number, the suffix is unknown, or the file cannot be written.
        DependencyError: matplotlib is missing.
    """
    target = Path(path)
    figures.check_target(target)
    figures.save(rank_sweep(sweep_rows, title=title), target)


def rank_sweep(sweep_rows: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """The figure of `plot_rank_sweep`.

    Raises:
        OutputError: no row holds a number.
        DependencyError: matplotlib is missing.
    """
    rows = [row for row in sweep_rows if terms.number(row, "rank") is not None]
    if not _points(rows, "value"):
        raise OutputError(
            "The sweep over the rank holds no value to draw.",
            remedy=f"Plot a report that has the bound {ALL_RANKS.name}.",
        )
    matplotlib, figure = figures.new_figure(7.0, 4.2, _STYLE)
    with matplotlib.rc_context(_STYLE):
        axes = figure.add_subplot()
        _draw(axes, rows)
        folded = "\n".join(fold_words(visible(title), _TITLE_CELLS))
        axes.set_title(folded, loc="left", fontsize=11, parse_math=False)
        figures.legend_below(figure, 3)
    return figure


def _draw(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    points = {name: _points(rows, name) for name, *_ in _PARTS}
    for name, label, colour, dashes, width in _PARTS:
        ranks = [rank for rank, _ in points[name]]
        heights = [height for _, height in points[name]]
        marker = "o" if len(ranks) == 1 else None
        axes.plot(
            ranks, heights, color=colour, linestyle=dashes, linewidth=width, label=label,
            marker=marker,
        )  # fmt: skip
    axes.axhline(0.0, color=_GREY, linewidth=1.0, linestyle=":", label="1 (vacuous above)")
    best_rank, best_height = min(points["value"], key=lambda point: point[1])
    axes.plot(
        [best_rank], [best_height], linestyle="none", marker="o", markersize=8,
        markerfacecolor=figures.GROUND, markeredgecolor=_BLACK, markeredgewidth=2,
        label=f"best: r = {best_rank}",
    )  # fmt: skip
    _scale(axes, [height for each in points.values() for _, height in each])
    axes.set_xlabel("rank r")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color=figures.GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    known = ((int(row["rank"]), terms.magnitude(row, name)) for row in rows)
    return [(rank, height) for rank, height in known if abs(height) != float("inf")]


def _scale(axes: Axes, heights: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    lowest, highest = min([*heights, 0.0]), max([*heights, 0.0])
    margin = max(0.05 * (highest - lowest), 0.15)
    axes.set_ylim(lowest - margin, highest + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if highest - lowest <= _MOST_DECADES:
        sizes = figures.round_sizes(10 ** (lowest - margin), 10 ** (highest + margin))
        axes.yaxis.set_major_locator(FixedLocator([math.log10(size) for size in sizes]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda h, _: figures.size_label(10**h)))
        axes.set_ylabel("size")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda height, _: f"{height:,.0f}"))
        axes.set_ylabel("log10 of the size")
