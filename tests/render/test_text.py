"""Text is made safe to print and folded without losing a letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dlgen_cli.render.text import fold_name, fold_words, spaced, unbroken, visible

NAMES = st.text(st.characters(codec="ascii", exclude_characters=" \n"), min_size=1)


@given(st.text())
def test_nothing_that_a_terminal_acts_on_is_left(text):
    assert all(one.isprintable() or one == "\u00a0" for one in visible(text))


def test_what_is_written_out_can_be_read():
    assert visible("a\x1b[31mb\n") == r"a\x1b[31mb\n"
    assert visible("\ud800") == r"\ud800"
    assert visible("größe 10 × 2") == "größe 10 × 2"


@given(NAMES, st.integers(2, 20))
def test_a_folded_name_is_the_name(name, width):
    lines = fold_name(name, width)
    assert "".join(lines) == name
    assert all(cell_len(one) <= width for one in lines)


def test_a_name_is_folded_at_its_joints():
    assert fold_name("features.12.conv-bn", 12) == ["features.12.", "conv-bn"]


@given(st.lists(NAMES, min_size=1), st.integers(2, 30))
def test_folded_words_are_the_words(words, width):
    lines = fold_words(" ".join(words), width)
    assert "".join(lines).replace(" ", "") == "".join(words)
    assert all(cell_len(one) <= width for one in lines)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        (f"one {unbroken('two three')}", ["one", "two three"]),
        ("is 2 × 10⁵", ["is", "2 × 10⁵"]),
        ("", [""]),
    ],
)
def test_words_that_belong_together_stay_together(text, lines):
    assert fold_words(text, 9) == lines


def test_unbroken_words_can_be_parted_again():
    assert " " not in unbroken("two three")
    assert spaced(unbroken("two three")) == "two three"
