"""Drawings of a page: what is drawn, and where they appear."""

import re
from dataclasses import replace

import pytest

from dlgen_cli.errors import DependencyError
from dlgen_cli.records import Report
from dlgen_cli.render import render_text
from dlgen_cli.render.plots.learning_curves import learning_curves
from dlgen_cli.render.sections.pictures import bound_by_sigma, norms_by_layer, truncation_tails

CURVES = {
    name: {"epochs": [0, 2, 4], "train_error": [0.9, 0.5, 0.1], "test_error": [0.9, 0.6, 0.4]}
    for name in ("standard", "random")
}


def lines(figure) -> list[tuple[list[float], list[float]]]:
    return [
        (list(line.get_xdata()), list(line.get_ydata()))
        for axes in figure.axes
        for line in axes.lines
    ]


def test_norms_are_the_upper_ends_in_order(audit_report: Report):
    layers = audit_report.layers
    drawn = lines(norms_by_layer(layers))
    places = list(range(1, len(layers) + 1))
    assert drawn[0] == (places, [layer.frobenius_norm.upper for layer in layers])
    assert drawn[1] == (places, [layer.spectral_norm.upper for layer in layers])


def test_tails_are_relative_to_the_norm(audit_report: Report):
    layers = [layer for layer in audit_report.layers if layer.truncation_errors_upper]
    layer = replace(layers[0], truncation_errors_upper=(4.0, 2.0, 1.0, 0.0))
    ((shares, errors),) = lines(truncation_tails([layer]))
    assert shares == pytest.approx([0, 1 / 3, 2 / 3])
    assert errors == [1.0, 0.5, 0.25]


def test_bounds_are_drawn_in_the_order_of_sigma():
    rows = [{"sigma": 0.5, "value": 0.7, "log10_value": -0.1549}, {"sigma": 0.1, "value": 2.0}]
    drawn = lines(bound_by_sigma({"pac_bayes.kl": rows}))
    assert drawn[0][0] == [0.1, 0.5]
    assert drawn[0][1] == pytest.approx([2.0, 0.7], rel=1e-3)


def test_learning_curves_show_both_errors_of_every_run():
    drawn = lines(learning_curves(CURVES))
    assert len(drawn) == 4
    assert drawn[0] == ([0, 2, 4], [0.9, 0.5, 0.1])
    assert drawn[2] == ([0, 2, 4], [0.9, 0.6, 0.4])


def test_only_a_page_shows_them(audit_report: Report):
    page = render_text(audit_report, "html")
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert len(captions) == page.count("<svg") >= 3
    for text in ("table", "markdown", "csv"):
        assert "<svg" not in render_text(audit_report, text)
        assert "Plots" not in render_text(audit_report, text)


def test_equal_reports_give_equal_pages(small_report: Report):
    assert render_text(small_report, "html") == render_text(small_report, "html")


def test_without_matplotlib_the_page_says_so(audit_report: Report, monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object):
        raise DependencyError("Plots need matplotlib.", remedy="Install it.")

    monkeypatch.setattr("dlgen_cli.render.plots.figures.new_figure", missing)
    page = render_text(audit_report, "html")
    assert "Plots need matplotlib" in page
    assert "<svg" not in page


def test_many_layers_have_whole_numbers_below_them(audit_report: Report):
    figure = norms_by_layer(audit_report.layers)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert all(tick == int(tick) for tick in axes.get_xticks())


def test_epochs_are_whole_numbers():
    figure = learning_curves(CURVES)
    figure.canvas.draw()
    assert all(tick == int(tick) for axes in figure.axes for tick in axes.get_xticks())


def test_curves_on_the_same_line_are_told_apart():
    rows = [{"sigma": sigma, "value": 1 / sigma} for sigma in (0.1, 0.5)]
    figure = bound_by_sigma(dict.fromkeys(("a", "b", "c"), rows))
    curves = figure.axes[0].lines[:3]
    for look in ("color", "linestyle", "marker", "linewidth"):
        assert len({getattr(line, f"get_{look}")() for line in curves}) == 3
    assert [line.get_linewidth() for line in curves] == sorted(
        (line.get_linewidth() for line in curves), reverse=True
    )


def test_a_drawing_of_a_page_takes_its_colours(audit_report: Report):
    page = render_text(audit_report, "html")
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", drawn, flags=re.IGNORECASE)
    for colour in ("currentColor", "var(--c1)", "var(--c2)"):
        assert colour in drawn
    assert set(re.findall(r"var\((--\w+)\)", drawn)) <= set(re.findall(r"(--\w+):", page))
    assert re.search(r"<text[^>]*>.*Frobenius norm", drawn)
