import math
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from dlgen_cli.errors import DependencyError, OutputError
from dlgen_cli.records import Report
from dlgen_cli.render.plots.rank_sweep import plot_rank_sweep, rank_sweep

HEADS = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def sweep(small_report: Report):
    return small_report.bounds[1].terms["sweep"]


@pytest.mark.parametrize("suffix", sorted(HEADS))
def test_writes_the_format_of_the_suffix_with_the_same_bytes_each_time(
    tmp_path: Path, sweep: list[dict[str, Any]], suffix: str
):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    for path in (first, second):
        plot_rank_sweep(sweep, path, title="A bound with $ and _")
    assert first.read_bytes().startswith(HEADS[suffix])
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".svg":
        assert ET.parse(first).getroot().tag.endswith("svg")


def test_takes_values_in_and_beyond_the_float_range(tmp_path: Path):
    rows = [
        {"rank": 1, "complexity": 0.5, "approximation": None, "value": None},
        {"rank": 2, "complexity": 0.5, "log10_approximation": 5000.0, "log10_value": 5000.0},
        {"rank": 3, "complexity": 0.5, "approximation": 0.0, "value": 0.5},
    ]
    plot_rank_sweep(rows, str(tmp_path / "sweep.PNG"), title="long title " * 20)
    assert (tmp_path / "sweep.PNG").stat().st_size > 1000


def test_takes_a_single_rank(tmp_path: Path):
    row = {"rank": 1, "complexity": 0.5, "approximation": 0.25, "value": 0.75}
    plot_rank_sweep([row], tmp_path / "one.svg", title="one")
    assert (tmp_path / "one.svg").exists()


@pytest.mark.parametrize("name", ["plot", "plot.bmp"])
def test_refuses_an_unknown_suffix(tmp_path: Path, sweep: list[dict[str, Any]], name: str):
    with pytest.raises(OutputError, match="cannot be drawn"):
        plot_rank_sweep(sweep, tmp_path / name, title="")


def test_refuses_a_missing_folder(tmp_path: Path, sweep: list[dict[str, Any]]):
    with pytest.raises(OutputError, match="does not exist"):
        plot_rank_sweep(sweep, tmp_path / "missing" / "plot.png", title="")


def test_refuses_a_path_that_is_a_folder(tmp_path: Path, sweep: list[dict[str, Any]]):
    (tmp_path / "plot.png").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        plot_rank_sweep(sweep, tmp_path / "plot.png", title="")


@pytest.mark.parametrize("rows", [[], [{"rank": 1}], [{"rank": 1, "value": math.nan}]])
def test_refuses_a_sweep_without_values(tmp_path: Path, rows: list[dict[str, Any]]):
    with pytest.raises(OutputError, match="no value"):
        plot_rank_sweep(rows, tmp_path / "plot.png", title="")
    assert not (tmp_path / "plot.png").exists()


def test_says_how_to_install_the_missing_library(
    tmp_path: Path, sweep: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError) as caught:
        plot_rank_sweep(sweep, tmp_path / "plot.png", title="")
    assert "pip install 'dlgen[plot]'" in caught.value.remedy


def test_leaves_no_global_state(tmp_path: Path, sweep: list[dict[str, Any]]):
    plot_rank_sweep(sweep, Path(tmp_path) / "plot.png", title="")
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("largest", [1.3, 2.0, 7.0, 40.0, 3e3, 2e5, 1e11])
def test_labels_tell_the_size_at_their_place(largest: float):
    rows = [
        {"rank": r, "complexity": 0.9, "approximation": v, "value": v}
        for r, v in ((1, largest), (2, 0.9))
    ]
    (axes,) = rank_sweep(rows, title="").axes
    low, high = axes.get_ylim()
    shown = [
        (height, label)
        for height in axes.get_yticks()
        if low <= height <= high and (label := axes.yaxis.get_major_formatter()(height, None))
    ]
    assert 3 <= len(shown) <= 14
    for height, label in shown:
        power = re.fullmatch(r"\$10\^\{(-?\d+)\}\$", label)
        size = 10.0 ** int(power[1]) if power else float(label.replace(",", ""))
        assert size == pytest.approx(10**height, rel=1e-5)


def test_the_legend_lies_beside_the_data(sweep: list[dict[str, Any]]):
    figure = rank_sweep(sweep, title="")
    figure.canvas.draw()
    (legend,) = figure.legends
    (axes,) = figure.axes
    assert axes.get_legend() is None
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
