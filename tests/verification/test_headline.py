"""The headline is the smallest candidate at its share of delta."""

import copy

import pytest

from dlgen_cli.bounds import clopper_pearson, occam
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification.headline import check_headline

SHARE = 0.025
BOUNDS = [clopper_pearson(3, 200, SHARE), occam(500, 2, 5000, SHARE)]
NAMES = [one.theorem for one in BOUNDS]
BEST = min(BOUNDS, key=lambda one: one.value)


def a_report():
    return {
        "command": "certify",
        "settings": {"delta": 0.05},
        "bounds": [
            {"theorem": one.theorem, "terms": dict(one.terms), "assumptions": []} for one in BOUNDS
        ],
        "headline": {
            "theorem": BEST.theorem,
            "value": BEST.value,
            "log10_value": BEST.log10_value,
            "delta": SHARE,
            "candidates": NAMES,
        },
    }


def wrong(report):
    by_name = {one.theorem: one for one in BOUNDS}
    found = check_headline(Fields(report), by_name, lambda bound: bound)
    return {one.where.removeprefix("headline.") for one in found}


def test_a_sound_headline_agrees():
    assert not wrong(a_report())
    assert not wrong(a_report() | {"headline": None})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"delta": 0.03}, "delta"),
        ({"candidates": [*NAMES, "pac_bayes.kl"]}, "delta"),
        ({"theorem": next(name for name in NAMES if name != BEST.theorem)}, "theorem"),
        ({"theorem": "pac_bayes.kl"}, "theorem"),
        ({"value": BEST.value * (1 - 1e-15)}, "value"),
        ({"value": BEST.value * (1 + 1e-15)}, "value"),
        ({"log10_value": BEST.log10_value - 1e-12}, "log10_value"),
        ({"status": "vacuous"}, "status"),
    ],
)
def test_what_was_changed_is_named(change, field):
    report = copy.deepcopy(a_report())
    report["headline"] |= change
    assert field in wrong(report)


def test_delta_is_spent_whole_where_nothing_shares_it():
    report = a_report() | {"command": "audit"}
    assert not wrong(report)
    report["settings"] = {"delta": 0.06}
    assert wrong(report) == {"delta"}
    report["command"] = "certify"  # whose certificates may leave some of it
    assert not wrong(report)
