"""Figures without a display and without global state: made, checked, saved."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.errors import DependencyError, OutputError

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
#: Okabe and Ito's palette, told apart with every common form of colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Neutral colours of plots: text and axes, what is less important, grids, and the ground.
INK, QUIET, GRID, GROUND = "#000000", "#595959", "#DDDDDD", "#FFFFFF"
#: Labels of a logarithmic axis, and their leading digits where less than a decade is shown.
_MOST_TICKS, _LEADING = 8, (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
_DASHES, _MARKERS = ("-", "--", "-.", ":"), "os^Dv"
#: What a drawing of its own says, and what it says on a page.
_OF_THE_PAGE = {
    **{rf"(?i){colour}": f"var(--c{index})" for index, colour in enumerate(PALETTE, start=1)},
    rf"(?i){INK}": "currentColor",
    rf"(?i){QUIET}": "var(--quiet)",
    rf"(?i){GRID}": "var(--line)",
    rf"(?i){GROUND}": "var(--page)",
    r"font: ([\d.]+px) [^;\"]*": r"font-size: \1",
    r"(?s)<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>": "",
    r' xmlns(:xlink)?="[^"]*"': "",
    r'<g id="[^"]*">': "<g>",
}
#: Of every plot: equal numbers give equal bytes, and text stays text.
STYLE: Any = {"svg.hashsalt": "dlgen", "pdf.fonttype": 42}


def new_figure(width: float, height: float, style: Any) -> tuple[Any, Figure]:
    """The matplotlib module and an empty figure.

    Args:
        width: inches.
        height: inches.
        style: on top of `STYLE`.

    Raises:
        DependencyError: matplotlib is missing.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise missing("matplotlib") from error
    with mpl.rc_context(STYLE | style):
        figure = NewFigure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return mpl, figure


def curve_style(index: int, count: int) -> dict[str, Any]:
    """How one curve of several is drawn, so that curves on the same line are all seen.

    Args:
        index: of the curve, from 0.
        count: how many there are; the first is the widest, and each has its colour, its dashes and
            its marker.
    """
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "linewidth": 1.4 + 1.0 * (count - 1 - index),
        "marker": _MARKERS[index % len(_MARKERS)],
        "markersize": 4.5 + 1.5 * (count - 1 - index),
        "markerfacecolor": GROUND,
        "markeredgewidth": 1.4,
        "zorder": 2 + index / count,
    }


def round_sizes(lowest: float, highest: float) -> list[float]:
    """Round sizes between two, for a logarithmic axis: powers of ten, and more where few are.

    Args:
        lowest: above 0.
        highest: above ``lowest``.
    """
    low, high = math.log10(lowest), math.log10(highest)
    decades = high - low
    leading = (1.0,) if decades > 3 else (1.0, 2.0, 5.0) if decades > 1 else _LEADING
    step = math.ceil(decades / _MOST_TICKS)
    exponents = range(math.floor(low), math.ceil(high) + 1, step)
    found = (digit * 10.0**exponent for exponent in exponents for digit in leading)
    return [size for size in found if lowest <= size <= highest]


def size_label(size: float) -> str:
    """A round size as the label of an axis: the number, or a power of ten where that is long."""
    exponent = round(math.log10(size))
    if math.isclose(size, 10.0**exponent) and not -3 <= exponent <= 4:
        return f"$10^{{{exponent}}}$"
    return f"{size:,.6g}"


def label_sizes(axis: Axis) -> None:
    """Write round sizes along a logarithmic axis whose data are drawn."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    lowest, highest = sorted(axis.get_view_interval())
    axis.set_major_locator(FixedLocator(round_sizes(lowest, highest)))
    axis.set_major_formatter(FuncFormatter(lambda size, _: size_label(size)))
    axis.set_minor_locator(NullLocator())


def legend_below(figure: Figure, columns: int) -> None:
    """Name the curves of all axes once, below them and never over data."""
    named = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        named.values(), named.keys(), loc="outside lower center", ncols=columns, frameon=False,
        fontsize=9, handlelength=3,
    )  # fmt: skip


def missing(what: str) -> DependencyError:
    """The error for a library of the extra ``plot`` that is not installed."""
    return DependencyError(
        f"Plots need {what}, which is not installed.", remedy="Run: pip install 'dlgen[plot]'"
    )


def check_target(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse a file that cannot be drawn to, before any work.

    Raises:
        OutputError: the suffix is unknown or the folder is missing.
        DependencyError: matplotlib is missing.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(
            f"This cannot be drawn as {path.suffix or 'a file without suffix'}: {path}.",
            remedy=f"End the name in {', '.join(suffixes)}.",
        )
    if not path.parent.is_dir():
        raise OutputError(
            f"The folder {path.parent} does not exist.", remedy="Make it, or name another."
        )
    try:
        import matplotlib as mpl  # noqa: F401 - only asks whether it is there
    except ImportError as error:
        raise missing("matplotlib") from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error for a plot that the system refuses to write."""
    return OutputError(
        f"The plot {path} cannot be written: {error.strerror or error}.",
        remedy="Name another file.",
    )


def svg_text(figure: Figure) -> str:
    """A figure as SVG, for a page that holds everything itself; equal numbers, equal text.

    Colours are those of the page, which may be dark: ``currentColor`` and the variables ``--c1``
    to ``--c6``, ``--quiet``, ``--line`` and ``--page``. Text is text, in the font of the page.
    """
    import io

    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.fonttype": "none"}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for pattern, replacement in _OF_THE_PAGE.items():
        text = re.sub(pattern, replacement, text)
    return text


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the suffix.

    Raises:
        OutputError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    # No date and no version of the drawing library: equal numbers give equal bytes.
    metadata: dict[str, Any] = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }[suffix]
    import matplotlib as mpl

    try:
        with mpl.rc_context(STYLE):
            figure.savefig(path, format=suffix[1:], metadata=metadata)
    except OSError as error:
        raise cannot_write(path, error) from error
