"""Plots of implicit regularization: what they hold, and that equal numbers give equal bytes."""

import sys

import pytest

from dlgen_cli.errors import DependencyError, OutputError
from dlgen_cli.render.plots import figures
from dlgen_cli.render.plots import implicit as implicit_plots

TIMES = [0.0, 1.0, 2.0, 3.0]


def panel(depth=2, count=3, *, aligned=True):
    spectrum = [float(count - index) for index in range(count)]
    rows = [[value * time / 3 for value in spectrum] for time in TIMES]
    return {
        "depth": depth,
        "aligned": aligned,
        "spectrum": spectrum,
        "times": TIMES,
        "run": rows,
        "theory_times": TIMES,
        "theory": rows,
        "takeoff": [1.5, None, *[9.0] * (count - 2)],
    }


def run(name="gd", *, in_span=True):
    return {
        "optimizer": name,
        "steps": 100,
        "in_span": in_span,
        "path_steps": [0, 1, 10, 100],
        "path_norms": [0.0, 1.0, 2.0, 2.5],
        "path_outside": [0.0, 0.0, 0.0, 0.0 if in_span else 0.4],
    }


def norms(*runs):
    return {**runs[0], "norm_theory": 2.5, "norm_minimum": 2.0, "optimizers": list(runs)}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_equal_numbers_give_equal_bytes(tmp_path, suffix):
    found = []
    for number in range(2):
        curves, levels = tmp_path / f"c{number}{suffix}", tmp_path / f"n{number}{suffix}"
        implicit_plots.plot_curves([panel(1), panel(2)], curves)
        implicit_plots.plot_norms(norms(run(), run("adam", in_span=False)), levels)
        found.append((curves.read_bytes(), levels.read_bytes()))
    assert found[0] == found[1]
    assert min(map(len, found[0])) > 1000


def text_of(path, monkeypatch):
    """The words of an SVG, which as a rule are drawn as outlines."""
    style = {**implicit_plots._STYLE, "svg.fonttype": "none"}  # noqa: SLF001
    monkeypatch.setattr(implicit_plots, "_STYLE", style)
    return path


def test_curves_are_labelled(tmp_path, monkeypatch):
    path = text_of(tmp_path / "a.svg", monkeypatch)
    implicit_plots.plot_curves([panel(1), panel(2), panel(3, aligned=False)], path)
    words = path.read_text(encoding="utf-8")
    for label in (
        "1 matrix: all rise together",
        "2 matrices: one after another",
        "3 matrices, random start",
        "time = steps",
        "singular value",
        "theory: gradient flow",
        "run: gradient descent",
        "takeoff predicted",
        "s = 3",
    ):
        assert label in words


def test_norms_are_labelled(tmp_path, monkeypatch):
    path = text_of(tmp_path / "a.svg", monkeypatch)
    implicit_plots.plot_norms(norms(run(), run("adam", in_span=False)), path)
    words = path.read_text(encoding="utf-8")
    for label in ("adam: leaves the span", "theory", "least norm", "step of the optimizer", "2.5"):
        assert label in words


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, in the place of their files."""
    found = []
    monkeypatch.setattr(figures, "save", lambda figure, _: found.append(figure))
    return found


def points(line):
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]


@pytest.mark.parametrize("count", [2, 6, 60, 200])
def test_any_number_of_curves(tmp_path, drawn, count):
    """Every curve of these panels is the straight line ``s t / 3``."""
    implicit_plots.plot_curves([panel(2, count)] * 4, tmp_path / "a.png")
    (figure,) = drawn
    assert len(figure.axes) == 4
    for axes in figure.axes:
        colours = {}
        for line in axes.lines:
            *_, (time, height) = points(line)
            target = 3 * height / time
            assert points(line) == [(t, pytest.approx(target * t / 3)) for t, _ in points(line)]
            is_run = line.get_linestyle() == "None"  # its points may be thinned out
            assert is_run or line.get_xdata().tolist() == TIMES
            colour = line.get_markeredgecolor() if is_run else line.get_color()
            colours.setdefault(round(target), set()).add(colour)
        own = range(count, max(0, count - 6), -1)
        assert [colours[target] for target in own] == [{c} for c in figures.PALETTE[: len(own)]]
        grey = colours.keys() - set(own)
        assert grey <= set(range(1, count + 1))
        assert len(grey) == {2: 0, 6: 0, 60: 54, 200: 33}[count]
        assert set().union(*(colours[target] for target in grey)) == (
            {"#A6A6A6"} if grey else set()
        )
        (takeoff,) = axes.collections  # of the three given, the one before the end
        assert takeoff.get_segments()[0].tolist() == [[1.5, 0.0], [1.5, count / 2]]


def test_a_single_run_that_took_no_step(tmp_path, drawn):
    still = {**run(), "steps": 0, "path_steps": [0], "path_norms": [0.0], "path_outside": [0.0]}
    implicit_plots.plot_norms(
        {**still, "norm_theory": 0.0, "norm_minimum": 0.0}, tmp_path / "a.png"
    )
    (figure,) = drawn
    norms, outside = figure.axes
    path, level = norms.lines  # the least norm is the theory's: one level, not two
    assert points(path) == points(outside.lines[0]) == [(0, 0.0)]
    assert [height for _, height in points(level)] == [0.0, 0.0]
    assert [text.get_text() for text in norms.texts] == ["theory: least\nnorm\n0"]
    assert outside.get_ylim() == (-0.04, 0.5)
    assert norms.get_xlim() == (-0.1, 1.5)
    assert outside.get_title("left") == "No part of the way leaves the span"


@pytest.fixture
def few_frames(monkeypatch):
    monkeypatch.setattr(implicit_plots, "_FRAMES", 6)


@pytest.mark.usefixtures("few_frames")
def test_an_animation_moves_and_repeats_its_bytes(tmp_path):
    from PIL import Image

    for name in ("a.gif", "b.gif"):
        implicit_plots.animate_curves([panel()], tmp_path / name)
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames > 3  # frames that do not differ are merged
        first = picture.convert("RGB").tobytes()
        picture.seek(picture.n_frames - 1)
        assert picture.convert("RGB").tobytes() != first
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.usefixtures("few_frames")
def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.png, \.svg"):
        implicit_plots.check_plot(tmp_path / "a.gif")
    with pytest.raises(OutputError, match=r"\.gif"):
        implicit_plots.check_animation(tmp_path / "a.png")
    with pytest.raises(OutputError, match="folder"):
        implicit_plots.check_plot(tmp_path / "none" / "a.png")
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        implicit_plots.plot_curves([panel()], tmp_path / "a.png")
    with pytest.raises(OutputError, match="cannot be written"):
        implicit_plots.animate_curves([panel()], tmp_path / "a.gif")
    implicit_plots.check_plot(None)
    implicit_plots.check_animation(None)


@pytest.mark.parametrize(("module", "name"), [("matplotlib", "matplotlib"), ("PIL", "Pillow")])
def test_a_missing_package_is_named_with_its_remedy(tmp_path, monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=name) as caught:
        implicit_plots.check_animation(tmp_path / "a.gif")
    assert caught.value.remedy == "Run: pip install 'dlgen[plot]'"
