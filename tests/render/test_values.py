"""Settings and results of any kind as one line."""

import pytest

from dlgen_cli.render.values import is_list, line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (50_000, "50,000"),
        (0.25, "<0.25>"),
        ("word", "word"),
        (None, "-"),
        ([], "-"),
        ({}, "-"),
        ([1, 2.5, "x"], "1, <2.5>, x"),
        ({"a": 1, "b": [2, 3]}, "a 1, b 2, 3"),
    ],
)
def test_a_value_is_written(value, text):
    missing = line(None, str)
    assert line(value, lambda one: f"<{one}>") == text.replace("-", missing)


def test_items_stand_apart_as_asked():
    assert line((3, 32, 32), str, between=" x ") == "3 x 32 x 32"


def test_a_text_is_no_list():
    assert is_list([1])
    assert is_list((1,))
    assert not is_list("ab")
    assert not is_list(b"ab")
    assert not is_list({"a": 1})
