"""Figures are made without a display, checked before any work, and saved the same each time."""

import sys

import pytest

from dlgen_cli.errors import DependencyError, OutputError
from dlgen_cli.render.plots import figures


def a_figure():
    _, figure = figures.new_figure(2, 1, {})
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_equal_numbers_give_equal_text():
    one, two = (figures.svg_text(a_figure()) for _ in range(2))
    assert one == two
    assert one.startswith("<svg")
    assert one.rstrip().endswith("</svg>")


@pytest.mark.parametrize("suffix", figures.SUFFIXES)
def test_equal_numbers_give_equal_bytes(suffix, tmp_path):
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix.upper()}"
    for path in (one, two):
        figures.check_target(path)
        figures.save(a_figure(), path)
    assert one.read_bytes() == two.read_bytes()


def test_what_cannot_be_drawn_to_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be drawn as \.bmp"):
        figures.check_target(tmp_path / "plot.bmp")
    with pytest.raises(OutputError, match="without suffix"):
        figures.check_target(tmp_path / "plot")
    with pytest.raises(OutputError, match="does not exist"):
        figures.check_target(tmp_path / "missing" / "plot.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        figures.save(a_figure(), tmp_path / "folder.svg")


def test_without_matplotlib_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match=r"pip install 'dlgen\[plot\]'"):
        figures.check_target(tmp_path / "plot.svg")
    with pytest.raises(DependencyError, match="Plots need matplotlib"):
        figures.new_figure(1, 1, {})
