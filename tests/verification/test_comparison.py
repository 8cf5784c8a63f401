"""Trees of JSON are compared to the last bit; every difference is named."""

import math

import pytest

from dlgen_cli.verification.comparison import SWEEP_SLACK, Comparison, Mismatch

TREE = {"a": [1, 2.5, None], "b": {"c": "text", "d": True}}


def differences(recorded, recomputed, where="r"):
    return list(Comparison().compare(recorded, recomputed, where))


def test_equal_trees_agree_and_are_counted():
    comparison = Comparison()
    assert not list(comparison.compare(TREE, TREE, "r"))
    assert comparison.checked == 5


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({**TREE, "a": [1, math.nextafter(2.5, 3), None]}, "r.a[1]"),
        ({**TREE, "a": [1, math.nextafter(2.5, 2), None]}, "r.a[1]"),
        ({**TREE, "a": [True, 2.5, None]}, "r.a[0]"),
        ({**TREE, "a": [1, 2.5, 0]}, "r.a[2]"),
        ({**TREE, "a": [1, 2.5]}, "r.a"),
        ({**TREE, "b": {"c": "text"}}, "r.b.d"),
        ({**TREE, "b": {**TREE["b"], "e": 1}}, "r.b.e"),
        ({**TREE, "a": math.nan}, "r.a"),
    ],
)
def test_a_difference_is_named(changed, where):
    assert [one.where for one in differences(changed, TREE)] == [where]


def test_a_number_that_is_no_number_agrees_with_none():
    assert differences(math.nan, 1.0)
    assert differences(math.inf, 1.0)
    assert not differences(1, 1.0)


def test_a_sweep_may_be_lower_by_rounding_and_never_higher():
    where = "bounds[0].terms.sweep[3].value"
    assert not differences(2.0 - SWEEP_SLACK, 2.0, where)
    assert differences(2.0 - 3 * SWEEP_SLACK, 2.0, where)
    assert differences(math.nextafter(2.0, 3), 2.0, where)


def test_a_missing_field_says_what_was_expected():
    assert differences({}, {"x": 1}) == [Mismatch(where="r.x", recorded=None, recomputed=1)]
    extra = Mismatch(where="r.x", recorded=1, recomputed="no such field")
    assert differences({"x": 1}, {}) == [extra]
