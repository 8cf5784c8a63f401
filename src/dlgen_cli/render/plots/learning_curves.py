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

_COLOURS = figures.PALETTE
_MARKERS = ("o", "s", "^", "D")
_GREY = "#595959"
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
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw(axes: Axes, curves: Curves, key: str, title: str) -> None:
    for index, (name, curve) in enumerate(curves.items()):
        count = len(curve["epochs"])
        axes.plot(
            curve["epochs"],
            curve[key],
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markevery=max(1, -(-count // _MOST_MARKERS)),
            markersize=4,
            linewidth=1.6,
            label=name,
        )
        if f"{key}_lowest" in curve:
            axes.fill_between(
                curve["epochs"],
                curve[f"{key}_lowest"],
                curve[f"{key}_highest"],
                color=_COLOURS[index % len(_COLOURS)],
                alpha=0.2,
                linewidth=0,
            )
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_xlabel("epoch")
    axes.set_ylabel("share of wrong answers" if key == "train_error" else "")
    axes.set_ylim(-0.02, 1.02)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
