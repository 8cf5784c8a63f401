"""Learning curves of several runs: training and test error against the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.render.plots import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, Mapping[str, Sequence[float]]]

_STYLE: Any = figures.STYLE | {"font.size": 11, "axes.labelsize": 11}
_MOST_MARKERS = 12


def plot_learning_curves(curves: Curves, path: Path) -> None:
    """Draw the curves to a file.

    Args:
        curves: by the run's name, ``epochs``, ``train_error`` and ``test_error`` of equal length;
            errors in [0, 1]. A band is drawn between ``test_error_lowest`` and
            ``test_error_highest`` where they are there, and likewise for the training error.
        path: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        OutputError: the suffix is unknown, or the file cannot be written.
        DependencyError: matplotlib is missing.
    """
    figures.check_target(path)
    figures.save(learning_curves(curves), path)


def learning_curves(curves: Curves) -> Figure:
    """The figure: training error on the left, test error on the right, one colour for each run.

    Raises:
        DependencyError: matplotlib is missing.
    """
    matplotlib, figure = figures.new_figure(9.6, 4.0, _STYLE)
    with matplotlib.rc_context(_STYLE):
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, key, title in (
            (left, "train_error", "training error"),
            (right, "test_error", "test error (real examples)"),
        ):
            _draw(axes, curves, key, title)
        figures.legend_below(figure, 4)
    return figure


def _draw(axes: Axes, curves: Curves, key: str, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for index, (name, curve) in enumerate(curves.items()):
        style = figures.curve_style(index, len(curves)) | {"linewidth": 1.6, "markersize": 4.5}
        every = max(1, -(-len(curve["epochs"]) // _MOST_MARKERS))
        axes.plot(curve["epochs"], curve[key], label=name, markevery=every, **style)
        if f"{key}_lowest" in curve:
            axes.fill_between(
                curve["epochs"],
                curve[f"{key}_lowest"],
                curve[f"{key}_highest"],
                color=style["color"],
                alpha=0.2,
                linewidth=0,
            )
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("share of wrong answers" if key == "train_error" else "")
    axes.set_ylim(-0.02, 1.02)
    axes.grid(visible=True, color=figures.GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
