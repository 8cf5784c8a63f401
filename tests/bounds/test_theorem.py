"""How a bound concludes: its status, its value, its last lines."""

from decimal import Decimal

import pytest

from dlgen_cli.bounds.assumptions import assumed, declared, verified, violated
from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.theorem import is_withheld

LINES = [one("A statement.", "Why.") for one in (declared, verified)]
BAD = violated("No holdout example was trained on.", "3 were.")


@pytest.mark.parametrize(
    ("value", "status"),
    [("0", "holds"), ("0.999", "holds"), ("1", "vacuous"), ("1e400", "vacuous")],
)
def test_a_value_of_one_or_more_says_nothing(value, status):
    bound = CLOPPER_PEARSON.conclude(value=Decimal(value), terms={}, assumptions=LINES)
    assert bound.status == status
    assert [line.status for line in bound.assumptions] == ["declared", "verified"]
    guess = [*LINES, assumed("A statement.", "Why.")]
    conditional = CLOPPER_PEARSON.conclude(value=Decimal(value), terms={}, assumptions=guess)
    assert conditional.status == {"holds": "conditional"}.get(status, status)


def test_what_is_rounded_up_to_one_is_vacuous_too():
    below = 1 - Decimal("1e-30")
    bound = CLOPPER_PEARSON.conclude(value=below, terms={}, assumptions=())
    assert (bound.status, bound.value) == ("vacuous", 1.0)


def test_a_violated_line_withholds_the_value():
    half = Decimal("0.5")
    bound = CLOPPER_PEARSON.conclude(value=half, terms={}, assumptions=[*LINES, BAD])
    assert (bound.status, bound.value, bound.log10_value) == ("not_applicable", None, None)
    shown = CLOPPER_PEARSON.conclude(value=half, terms={}, assumptions=[BAD], show_invalid=True)
    assert shown.status == "not_applicable"
    assert shown.value == pytest.approx(0.5, rel=1e-15)
    nothing = CLOPPER_PEARSON.conclude(value=None, terms={}, assumptions=LINES)
    assert (nothing.status, nothing.value) == ("not_applicable", None)


def test_terms_without_bits_are_those_of_a_withheld_bound():
    emptied = [one for one in THEOREMS.values() if one.empty_terms is not None]
    assert emptied
    for one in emptied:
        bound = one.withheld([BAD])
        assert is_withheld(Fields(bound.terms))
        assert one.recompute(Fields(bound.terms), 0.05, [BAD]) == bound
    assert not is_withheld(Fields({"bits": 0}))
    assert not is_withheld(Fields({}))


@pytest.mark.parametrize("name", THEOREMS)
def test_an_explanation_begins_with_the_title_and_ends_with_the_source(name):
    theorem = THEOREMS[name]
    text = theorem.explain()
    assert text.startswith(f"# {theorem.title}\n\n")
    assert text.endswith(f"## Source\n\n{theorem.source}.\n")
