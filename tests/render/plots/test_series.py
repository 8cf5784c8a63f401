"""The picture of a series holds the numbers that it is given."""

import pytest

from dlgen_cli.errors import OutputError
from dlgen_cli.records import Interval
from dlgen_cli.render.plots.series import plot_series, series_figure


def series(layers):
    return [
        {
            "step": step,
            "layers": {
                f"layers.{place}": {
                    "spectral_norm": Interval(lower=0.5, upper=1.0 + place + step),
                    "stable_rank": 2.0 if place else None,
                }
                for place in range(layers)
            },
        }
        for step in (0, 10, 100)
    ]


def test_a_line_for_each_layer_with_upper_ends():
    left, right = series_figure(series(3)).axes
    assert [list(line.get_xdata()) for line in left.lines] == [[0, 10, 100]] * 3
    assert list(left.lines[1].get_ydata()) == [2.0, 12.0, 102.0]
    assert list(right.lines[0].get_ydata()) == []
    assert list(right.lines[1].get_ydata()) == [2.0, 2.0, 2.0]


def test_many_layers_have_a_scale_in_the_place_of_a_legend():
    few, many = series_figure(series(3)), series_figure(series(20))
    assert few.legends
    assert not many.legends
    assert many.axes[-1].get_ylabel() == "layer, from the input"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_numbers_give_the_same_bytes(tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        plot_series(series(2), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(OutputError, match="cannot be drawn"):
        plot_series(series(2), tmp_path / "a.txt")
