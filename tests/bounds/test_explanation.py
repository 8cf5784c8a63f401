"""What a reader is told: texts of theorems and words, and a bound worked out to its value."""

import pytest

from dlgen_cli.bounds import clopper_pearson, explanation
from dlgen_cli.bounds.assumptions import violated
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Bound


def recorded(bound: Bound, **changed):
    lines = [
        {"statement": one.statement, "status": one.status, "evidence": one.evidence}
        for one in bound.assumptions
    ]
    values = {name: getattr(bound, name) for name in ("theorem", "status", "value", "log10_value")}
    return Fields({**values, "terms": dict(bound.terms), "assumptions": lines, **changed})


def test_the_overview_lists_theorems_statuses_and_words():
    text = explanation.overview()
    assert all(name in text and one.title in text for name, one in THEOREMS.items())
    known = explanation.words()
    assert {"vacuous", "anchor", "shell", "nats", "ledger", "holds", "verified"} <= set(known)
    assert all(f"- `{word}`" in text for word in known)


def test_implicit_regularization_is_explained_too():
    for name in ("implicit.linear", "implicit.matrix"):
        assert name in explanation.overview()
        assert "## Proof" in explanation.explain(name)


def test_a_word_is_explained_and_a_slip_is_answered_with_the_nearest():
    assert "says nothing" in explanation.explain("Vacuous")
    with pytest.raises(UsageError, match="no theorem and no word 'vacous'") as refused:
        explanation.explain("vacous")
    assert "vacuous" in refused.value.remedy
    with pytest.raises(UsageError) as refused:
        explanation.explain("pinsker")
    assert "pac_bayes.pinsker" in refused.value.remedy


def test_a_bound_ends_at_its_value_and_a_changed_one_is_called_out():
    bound = clopper_pearson(7, 500, 0.05)
    text = explanation.worked(recorded(bound))
    assert "P(Bin(500, p) ≤ 7) ≥ 0.05" in text
    assert "This is the value on the page: holds." in text
    assert "The report says 0.01" in explanation.worked(recorded(bound, value=0.01))
    assert "cannot be worked out" in explanation.worked(recorded(bound, terms={}))


def test_a_withheld_bound_says_why():
    line = violated("The network was understood.", "A layer was not.")
    bound = next(one for one in THEOREMS.values() if one.empty_terms is not None).withheld([line])
    text = explanation.worked(recorded(bound))
    assert "No value is given (not_applicable)." in text
    assert "A layer was not." in text
