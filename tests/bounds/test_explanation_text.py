"""What a list points at stands in its place, in full."""

import pytest

from dlgen_cli.bounds.explanation_text import explanation_of
from dlgen_cli.bounds.registry import THEOREMS


def test_a_list_that_points_at_another_holds_its_entries():
    text = explanation_of("pac_bayes.pinsker")  # points at the mixture, which points at the anchors
    symbols = text.partition("## Symbols")[2].partition("## Assumptions")[0]
    assert all(symbol in symbols for symbol in ("`ξ`", "`KL`", "`θ_k`", "`K`, `S`"))
    assert "the loss lies in [0, 1]; m ≥ 2" in text


def test_some_symbols_are_taken_without_the_others():
    symbols = explanation_of("pac_bayes.posterior").partition("## Assumptions")[0]
    assert "`kl⁻¹`: of q and c" in symbols
    assert "`θ_k`" not in symbols


@pytest.mark.parametrize("name", THEOREMS)
def test_no_symbol_is_explained_twice(name):
    symbols = explanation_of(name).partition("## Symbols")[2].partition("## Assumptions")[0]
    entries = [line for line in symbols.splitlines() if line.startswith("- ")]
    assert len(entries) == len(set(entries)) > 0
