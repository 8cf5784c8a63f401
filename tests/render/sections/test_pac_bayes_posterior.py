"""A trained posterior in detail: the table of the sweep, its drawing, and the costly tensors."""

import re

import pytest

from dlgen_cli import bounds
from dlgen_cli.records import Report
from dlgen_cli.render import render_text
from dlgen_cli.render.sections.pictures import risk_by_complexity


def posterior(name, distance, errors):
    return bounds.Posterior(
        name=name,
        distance_nats_upper=distance,
        spread_nats_upper=31.5,
        risk=bounds.DrawnErrors(draws=2000, trials=2000, errors=errors),
    )


@pytest.fixture(scope="module")
def report():
    several = [posterior("as trained", 800.5, 310), posterior("shrink 0.5", 200.25, 610)]
    bound = bounds.posterior_risk(several, 9000, 0.04, 0.01, choice_nats=4.5)
    rows = [
        {"name": f"layers.{index}", "distance_nats_upper": float(index), "spread_nats_upper": 1.0}
        for index in range(10)
    ]
    return Report(
        dlgen_version="0", command="certify", bounds=[bound], results={"coordinates": rows}
    )


def test_every_posterior_has_a_row_and_the_best_is_marked(report):
    text = render_text(report, "markdown")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()]
    (best,) = [row for row in rows if row[0] == "**as trained**"]
    (other,) = [row for row in rows if row[0] == "shrink 0.5"]
    assert best[1:3] == ["**836.6**", "**0.1550**"]  # rounded up
    assert best[-1] == "**best**"
    assert other[1:3] == ["236.3", "0.3050"]


def test_the_costliest_tensors_come_first(report):
    text = render_text(report, "markdown")
    assert re.findall(r"layers\.\d", text) == [f"layers.{index}" for index in range(9, 1, -1)]
    assert "And 2 more" in text
    assert len(re.findall(r"layers\.\d", render_text(report, "table", verbosity=1))) == 10


def test_the_drawing_goes_from_simple_to_complex(report):
    rows = report.bounds[0].terms["posteriors"]
    (axes,) = risk_by_complexity(rows).axes
    found = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    simple, trained = rows[1], rows[0]
    nats = [simple["kl_nats"], trained["kl_nats"]]
    assert found == [
        (nats, [simple["value"], trained["value"]]),
        (nats, [simple["empirical_risk"], trained["empirical_risk"]]),
    ]
