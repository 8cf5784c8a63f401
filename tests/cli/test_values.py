"""Numbers as people write them, lists, and words of a few."""

from pathlib import Path

import pytest

from dlgen_cli.cli.values import Choices, Whole, listed, read_value, real_number, whole_number
from dlgen_cli.errors import UsageError


@pytest.mark.parametrize("text", ["50000", "50,000", "50_000", "5e4", "5E+4", " 50000 ", "50000.0"])
def test_whole_numbers(text):
    assert whole_number(text, "--m") == 50_000


@pytest.mark.parametrize(
    "text", ["", "x", "1.5", "5,0", "5,0000", "1%", "nan", "inf", "1e999999999", "1,000,00"]
)
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(UsageError, match=r"--m is .*a whole number was expected"):
        whole_number(text, "--m")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.05", 0.05),
        ("5%", 0.05),
        ("0.1 %", 0.001),
        ("1e-9", 1e-9),
        ("50,000.5", 50000.5),
        ("1_000", 1000.0),
        ("-3", -3.0),
        ("inf", float("inf")),
    ],
)
def test_numbers(text, value):
    assert real_number(text, "--delta") == value


@pytest.mark.parametrize("text", ["", "x", "0,5", "%", "1%%", "0.1.2"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(UsageError, match=r"--delta is .*a number was expected"):
        real_number(text, "--delta")


def test_lists_are_split_at_commas_but_for_paths_and_what_says_so():
    assert read_value(list[float], ["0.1,0.5", "1%"], "--sigma") == [0.1, 0.5, 0.01]
    assert read_value(list[str], ["a*, b*"], "--include") == ["a*", "b*"]
    assert read_value(list[str], ["a=[1,2]"], "--arch-arg", [Whole()]) == ["a=[1,2]"]
    assert read_value(list[Path], ["a,b"], "--anchors") == [Path("a,b")]


def test_a_none_in_the_type_is_no_matter():
    assert read_value(int | None, "1,000", "--m") == 1000


def test_open_choices_take_other_words():
    Choices(("digits",), is_open=True).require("--data", "mine")
    with pytest.raises(
        UsageError, match=r"is unknown\. Did you mean digits\? Choose one of: digits"
    ):
        Choices(("digits", "cifar10")).require("--data", "Digit")


def test_paths_are_offered_beside_the_words(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden").touch()
    choices = Choices(("digits",), is_open=True, is_path=True)
    assert choices.complete("dig") == ["digits"]
    assert choices.complete(f"{tmp_path}/") == [f"{tmp_path}/data/", f"{tmp_path}/notes.txt"]
    assert choices.complete(f"{tmp_path}/n") == [f"{tmp_path}/notes.txt"]


def test_a_list_in_a_sentence():
    assert [listed("a"), listed("ab"), listed("abc")] == ["a", "a or b", "a, b or c"]
