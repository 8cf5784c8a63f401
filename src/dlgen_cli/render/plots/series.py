"""Norms of every layer against the step of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.render.plots import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE: Any = figures.STYLE | {"font.size": 11, "axes.labelsize": 11}
_MARKERS = ("o", "s", "^", "D", "v", "P")


def plot_series(series: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the series to a file.

    Args:
        series: by ascending step, ``step`` and ``layers``: of each by name ``spectral_norm``, an
            interval, and ``stable_rank``.
        path: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        OutputError: the suffix is unknown, or the file cannot be written.
        DependencyError: matplotlib is missing.
    """
    figures.check_target(path)
    figures.save(series_figure(series), path)


def series_figure(series: Sequence[Mapping[str, Any]]) -> Figure:
    """The figure: spectral norms on the left, stable ranks on the right, a line for each layer.

    A few layers have colours and markers and a legend below; many are coloured by their place in
    the network.

    Raises:
        DependencyError: matplotlib is missing.
    """
    layers = list(dict.fromkeys(name for row in series for name in row["layers"]))
    is_few = len(layers) <= len(figures.PALETTE)
    matplotlib, figure = figures.new_figure(9.6, 4.4, _STYLE)
    colours: Sequence[Any] = figures.PALETTE
    if not is_few:
        scale = matplotlib.colormaps["viridis"]
        colours = [scale(place / (len(layers) - 1)) for place in range(len(layers))]
    with matplotlib.rc_context(_STYLE):
        left, right = figure.subplots(1, 2)
        _draw(left, series, layers, colours, "spectral_norm", "spectral norm ≤", is_few=is_few)
        _draw(right, series, layers, colours, "stable_rank", "stable rank", is_few=is_few)
        left.set_yscale("log")
        ticker = matplotlib.ticker
        left.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
        left.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        left.yaxis.set_minor_formatter(ticker.NullFormatter())
        if is_few:
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        else:
            mappable = matplotlib.cm.ScalarMappable(
                matplotlib.colors.Normalize(1, len(layers)), scale
            )
            figure.colorbar(mappable, ax=[left, right], label="layer, from the input")
    return figure


def _draw(
    axes: Axes,
    series: Sequence[Mapping[str, Any]],
    layers: Sequence[str],
    colours: Sequence[Any],
    quantity: str,
    title: str,
    *,
    is_few: bool,
) -> None:
    for place, name in enumerate(layers):
        points = [
            (row["step"], _number(row["layers"][name][quantity]))
            for row in series
            if name in row["layers"] and row["layers"][name][quantity] is not None
        ]
        axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            color=colours[place],
            marker=_MARKERS[place % len(_MARKERS)] if is_few else None,
            markersize=4,
            linewidth=1.6 if is_few else 1.0,
            label=name,
        )
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_xlabel("step")
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _number(value: Any) -> float:
    return float(getattr(value, "upper", value))
