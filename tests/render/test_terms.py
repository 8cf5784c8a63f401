"""Numbers of a bound are read as they stand, and nothing else is taken for one."""

import math

import pytest

from dlgen_cli.records import Bound
from dlgen_cli.render import numbers, terms


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0.5, 0.5),
        (7, 7.0),
        (True, None),
        ("0.5", None),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
    ],
)
def test_a_number_is_finite_and_no_truth_value(value, found):
    assert terms.number({"x": value}, "x") == found
    assert terms.has({"x": value}, "x") == (found is not None)


def test_a_logarithm_stands_for_what_no_float_holds():
    beyond = {"x": None, "log10_x": 400.0}
    assert terms.has(beyond, "x")
    assert terms.upper(beyond, "x") == numbers.upper(None, 400.0)
    assert terms.magnitude(beyond, "x") == 400.0


def test_what_is_unknown_sorts_last_and_zero_first():
    values = [{"x": 0}, {}, {"x": 1e-5}, {"log10_x": 400.0}, {"x": 100}]
    ordered = sorted(values, key=lambda one: terms.magnitude(one, "x"))
    assert ordered == [{"x": 0}, {"x": 1e-5}, {"x": 100}, {"log10_x": 400.0}, {}]


def test_rows_are_mappings_and_nothing_else():
    assert terms.rows({"x": [{"a": 1}, 2, {}]}, "x") == [{"a": 1}, {}]
    assert terms.rows({"x": "text"}, "x") == terms.rows({}, "x") == []
    assert terms.count({"x": 1000}, "x") == "1,000"
    assert terms.count({"x": 0.5}, "x") == numbers.MISSING


def test_bounds_are_found_by_family_and_called_by_their_short_name():
    bounds = [
        Bound(
            theorem=name,
            title="",
            status="holds",
            value=0.5,
            log10_value=None,
            terms={},
            assumptions=(),
            source="",
        )
        for name in ("pac_bayes.kl", "compression.occam", "unknown")
    ]
    assert terms.of_family(bounds, "pac_bayes") == bounds[:1]
    assert [terms.short_name(one) for one in bounds] == ["kl", "occam", "unknown"]
