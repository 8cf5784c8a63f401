"""Figures without a display and without global state: made, checked, saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.errors import DependencyError, OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
#: Okabe and Ito's palette, told apart with every common form of colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
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
    """A figure as SVG, for a page that holds everything itself; equal numbers, equal text."""
    import io

    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


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
