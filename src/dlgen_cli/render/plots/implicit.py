"""Plots of implicit regularization: theory as lines, the run as points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.render.plots import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = Mapping[str, Any]

#: The markers tell the curves apart without colour.
_COLOURS = figures.PALETTE
_MARKERS = ("o", "s", "^", "D", "v", "P")
_BLACK, _GREY, _PALE, _LIGHT = "#000000", "#595959", "#A6A6A6", "#DDDDDD"
_MOST_GREY = 30
_STYLE: Any = figures.STYLE | {"font.size": 11, "axes.titlesize": 12, "axes.labelsize": 11}
#: Points of a run are at least this far apart, as a share of the plot; more would hide the line.
_APART = 0.04
#: Targets below this share of the largest are zero to the eye.
_ZERO = 1e-6
_PANELS_IN_A_ROW = 3
_FRAMES, _FRAME_MS, _LAST_FRAME_MS = 36, 80, 2500
_GIF_DPI = 80


def check_plot(path: Path | None) -> None:
    """Refuse a plot before any work.

    Raises:
        OutputError: the suffix is unknown or the folder is missing.
        DependencyError: matplotlib is missing.
    """
    if path is not None:
        figures.check_target(path)


def check_animation(path: Path | None) -> None:
    """Refuse an animation before any work.

    Raises:
        OutputError: the suffix is not ``.gif`` or the folder is missing.
        DependencyError: matplotlib or Pillow is missing.
    """
    if path is not None:
        figures.check_target(path, (".gif",))
        _image_module()


def plot_norms(results: Mapping[str, Any], path: Path) -> None:
    """Draw the norm of the weights along each run, and how much of the way left the span.

    Args:
        results: of ``implicit linear``: ``norm_theory``, ``norm_minimum`` and, at the top level
            or for each of ``optimizers``, ``path_steps``, ``path_norms``, ``path_outside`` and
            ``in_span``.
        path: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        OutputError: the file cannot be written.
        DependencyError: matplotlib is missing.
    """
    check_plot(path)
    matplotlib, figure = figures.new_figure(9.6, 4.2, _STYLE)
    with matplotlib.rc_context(_STYLE):
        figure.set_layout_engine("constrained", wspace=0.06)
        left, right = _grid(figure, 2)
        _draw_norms(left, results)
        _draw_outside(right, results)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=10
        )
        figures.save(figure, path)


def plot_curves(panels: Sequence[Panel], path: Path) -> None:
    """Draw singular values against time, one panel for each depth.

    Args:
        panels: for each depth ``depth``, ``aligned``, ``spectrum``, ``times`` and ``run``,
            ``theory_times`` and ``theory``, and ``takeoff``, the predicted times.
        path: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        OutputError: the file cannot be written.
        DependencyError: matplotlib is missing.
    """
    check_plot(path)
    matplotlib, figure = _panel_figure(len(panels))
    with matplotlib.rc_context(_STYLE):
        for axes, panel in zip(_grid(figure, len(panels)), panels, strict=True):
            _draw_curves(axes, panel, 1.0)
        _legend(figure)
        figures.save(figure, path)


def animate_curves(panels: Sequence[Panel], path: Path) -> None:
    """Draw the same as a moving picture: time passes in every panel at once.

    Args:
        panels: as for `plot_curves`.
        path: ``.gif``.

    Raises:
        OutputError: the file cannot be written.
        DependencyError: matplotlib or Pillow is missing.
    """
    check_animation(path)
    image = _image_module()
    matplotlib, figure = _panel_figure(len(panels))
    figure.set_dpi(_GIF_DPI)
    canvas: Any = figure.canvas
    frames = []
    with matplotlib.rc_context(_STYLE):
        grid = _grid(figure, len(panels))
        for number in range(_FRAMES + 1):
            for axes, panel in zip(grid, panels, strict=True):
                axes.clear()
                _draw_curves(axes, panel, number / _FRAMES)
            if number == 0:
                _legend(figure)
                canvas.draw()
                figure.set_layout_engine("none")  # the first frame fixes where the axes stand
            canvas.draw()
            frame = image.frombytes("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
            frames.append(frame.convert("RGB").quantize(colors=128, dither=image.Dither.NONE))
    durations = [_FRAME_MS] * _FRAMES + [_LAST_FRAME_MS]
    try:
        frames[0].save(
            path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True
        )
    except OSError as error:
        raise figures.cannot_write(path, error) from error


def _draw_norms(axes: Axes, results: Mapping[str, Any]) -> None:
    theory, minimum = results["norm_theory"], results["norm_minimum"]
    _draw_paths(axes, results, "path_norms")
    same = abs(theory - minimum) <= 1e-3 * theory
    axes.axhline(theory, color=_BLACK, linewidth=2.0, zorder=2)
    _write_level(axes, theory, "theory: least\nnorm" if same else "theory", _BLACK)
    if not same:
        axes.axhline(minimum, color=_GREY, linewidth=2.0, linestyle=":", zorder=2)
        _write_level(axes, minimum, "least norm", _GREY)
    axes.margins(y=0.1)
    axes.set_ylabel("norm of the weights $\\Vert w\\Vert$")
    axes.set_title("Where training ends", loc="left")


def _draw_outside(axes: Axes, results: Mapping[str, Any]) -> None:
    _draw_paths(axes, results, "path_outside")
    highest = max(max(run["path_outside"]) for run in _runs(results))
    axes.set_ylim(-0.04, max(0.5, 1.15 * highest))
    axes.set_ylabel("share of the way outside the span")
    kept = sum(run["in_span"] for run in _runs(results))
    title = "Which runs leave the span of the points"
    if kept == len(_runs(results)):
        title = "No part of the way leaves the span"
    axes.set_title(title, loc="left")


def _draw_paths(axes: Axes, results: Mapping[str, Any], name: str) -> None:
    runs = _runs(results)
    for index, run in enumerate(runs):
        label = run["optimizer"] + ("" if run["in_span"] else ": leaves the span")
        # Wide under narrow, so that runs on the same line are all seen.
        axes.plot(
            run["path_steps"], run[name], color=_COLOURS[index % 6], marker=_MARKERS[index % 6],
            markersize=6, markevery=max(1, len(run["path_steps"]) // 12), label=label,
            linewidth=1.4 + 0.6 * (len(runs) - 1 - index), zorder=3,
            markerfacecolor="white", markeredgewidth=1.4,
        )  # fmt: skip
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.4)
    axes.set_xlim(-0.1, 1.5 * max(1, *(run["steps"] for run in runs)))
    axes.set_xlabel("step of the optimizer")
    _plain(axes)


def _runs(results: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    runs: Sequence[Mapping[str, Any]] = results.get("optimizers", [results])
    return runs


def _write_level(axes: Axes, level: float, name: str, colour: str) -> None:
    axes.annotate(
        f"{name}\n{level:.4g}", (1.0, level), xycoords=("axes fraction", "data"),
        xytext=(4, 0), textcoords="offset points", va="center", fontsize=10, color=colour,
    )  # fmt: skip


def _draw_curves(axes: Axes, panel: Panel, share: float) -> None:
    """Draw one depth up to a share of its time; the theory ahead of it stays faint."""
    spectrum, times = panel["spectrum"], panel["times"]
    end = times[-1]
    now = share * end
    seen = [index for index, time in enumerate(panel["theory_times"]) if time <= now]
    shown = min(sum(value > _ZERO * spectrum[0] for value in spectrum), len(_COLOURS))
    _draw_rest(axes, panel, shown)
    for curve in reversed(range(shown)):
        colour = _COLOURS[curve]
        heights = [row[curve] for row in panel["theory"]]
        axes.plot(panel["theory_times"], heights, color=colour, linewidth=1.0, alpha=0.35)
        axes.plot(
            [panel["theory_times"][index] for index in seen], [heights[index] for index in seen],
            color=colour, linewidth=2.0,
        )  # fmt: skip
        run = [row[curve] for row in panel["run"]]
        done = [point for point in _spread(times, run, spectrum[0]) if point[0] <= now]
        axes.plot(
            [time for time, _ in done], [height for _, height in done],
            linestyle="none", marker=_MARKERS[curve], markersize=5.5, markerfacecolor="white",
            markeredgecolor=colour, markeredgewidth=1.4, zorder=3,
        )  # fmt: skip
        _mark_takeoff(axes, panel["takeoff"][curve], spectrum[curve], end, colour)
    highest = max(*spectrum, *(max(row) for row in panel["run"]))
    axes.set_xlim(-0.02 * end, 1.02 * end)
    axes.set_ylim(-0.04 * highest, 1.1 * highest)
    axes.set_xlabel("time = steps × step size")
    axes.set_ylabel("singular value")
    axes.set_title(_title(panel), loc="left")
    _name_targets(axes, spectrum[:shown], highest)
    _plain(axes)


def _draw_rest(axes: Axes, panel: Panel, shown: int) -> None:
    """Draw the theory of the values without a colour of their own, some of many."""
    count = len(panel["spectrum"]) - shown
    for curve in range(shown, shown + count, max(1, count // _MOST_GREY)):
        heights = [row[curve] for row in panel["theory"]]
        axes.plot(panel["theory_times"], heights, color=_PALE, linewidth=0.7, zorder=1)


def _spread(
    times: Sequence[float], heights: Sequence[float], highest: float
) -> list[tuple[float, float]]:
    """Points along a curve, evenly apart to the eye."""
    kept = [(times[0], heights[0])]
    for time, height in zip(times, heights, strict=True):
        across, up = (time - kept[-1][0]) / times[-1], (height - kept[-1][1]) / highest
        if math.hypot(across, up) >= _APART:
            kept.append((time, height))
    return kept


def _mark_takeoff(
    axes: Axes, takeoff: float | None, target: float, end: float, colour: str
) -> None:
    if takeoff is not None and takeoff <= end:
        axes.vlines(
            takeoff, 0.0, 0.5 * target, color=colour, linestyle=":", linewidth=1.4, zorder=1
        )


def _name_targets(axes: Axes, spectrum: Sequence[float], highest: float) -> None:
    """Write the targets at the right edge, as far as they do not run into each other."""
    written: list[float] = []
    for curve, target in enumerate(spectrum):
        if target > 0 and all(abs(target - other) > 0.07 * highest for other in written):
            written.append(target)
            axes.annotate(
                f"s = {target:.3g}", (1.0, target), xycoords=("axes fraction", "data"),
                xytext=(4, 0), textcoords="offset points", va="center", fontsize=10,
                color=_COLOURS[curve],
            )  # fmt: skip


def _title(panel: Panel) -> str:
    depth = panel["depth"]
    noun = "1 matrix" if depth == 1 else f"{depth} matrices"
    if not panel["aligned"]:
        noun += ", random start"
    if len({value for value in panel["spectrum"] if value > 0}) < 2:
        return noun
    return f"{noun}: {'all rise together' if depth == 1 else 'one after another'}"


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color=_LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_GREY, linewidth=2.0, label="theory: gradient flow"),
        Line2D(
            [], [], linestyle="none", marker="o", markersize=5.5, markerfacecolor="white",
            markeredgecolor=_GREY, markeredgewidth=1.4, label="run: gradient descent",
        ),
        Line2D([], [], color=_GREY, linestyle=":", linewidth=1.4, label="takeoff predicted"),
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10
    )


def _grid(figure: Figure, count: int) -> list[Axes]:
    columns = min(count, _PANELS_IN_A_ROW)
    rows = -(-count // columns)
    return [figure.add_subplot(rows, columns, index + 1) for index in range(count)]


def _panel_figure(count: int) -> tuple[Any, Figure]:
    columns = min(count, _PANELS_IN_A_ROW)
    width = 7.2 if count == 1 else 4.3 * columns
    return figures.new_figure(width, 4.2 * -(-count // columns), _STYLE)


def _image_module() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise figures.missing("Pillow") from error
    return Image
