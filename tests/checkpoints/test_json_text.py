"""JSON of unknown origin: objects as json reads them, and refusals."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.checkpoints import json_text
from dlgen_cli.checkpoints.json_text import parse_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(), VALUES))
def test_an_object_comes_back(values):
    assert parse_object(json.dumps(values).encode()) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[1]", "an object was expected"),
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "key .*c.* twice"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
        (b"\xff", "codec"),
    ],
)
def test_what_is_no_object_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_object(text)


def test_large_texts_are_refused_before_they_are_built(monkeypatch):
    monkeypatch.setattr(json_text, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="11 bytes of JSON; at most 10"):
        parse_object(b'{"a": 1   }')
    monkeypatch.undo()
    monkeypatch.setattr(json_text, "_MOST_VALUES", 3)
    with pytest.raises(ValueError, match="4 values of JSON"):
        parse_object(b'{"a": [1,1,1]}')
