"""What a sample can pay for, against the arithmetic of the bounds themselves."""

import math

import pytest

from dlgen_cli.bounds import Anchor, occam, pinsker
from dlgen_cli.bounds.budget import affordable_nats, cheapest, examples_needed


@pytest.mark.parametrize(
    ("errors", "m", "risk"), [(7200, 120_000, 0.125), (0, 1300, 0.9), (40, 500, 0.5)]
)
def test_a_bound_of_so_many_nats_is_that_risk(errors, m, risk):
    nats = affordable_nats(errors, m, 0.05, risk)
    bound = occam(0, errors, m, 0.05, union_nats=nats)
    assert bound.terms["kl_form"] == pytest.approx(risk, rel=1e-6)
    assert bound.value <= risk * (1 + 1e-6)


def test_a_thousand_coordinates_at_four_bits_are_paid_by_120_000_examples():
    code = 1000 * 4 * math.log(2)
    assert affordable_nats(7200, 120_000, 0.05, 0.125) == pytest.approx(code, rel=0.01)
    adapter = 147_456 * 4 * math.log(2)
    assert adapter == pytest.approx(408_835, abs=1)
    assert affordable_nats(7200, 120_000, 0.05, 0.5) < adapter / 7


def test_so_many_examples_pay_for_so_many_nats():
    adapter = 147_456 * 4 * math.log(2)
    needed = examples_needed(adapter, 0.06, 0.05, 0.375)
    assert needed == pytest.approx(1.5e6, rel=0.01)
    m = round(needed)
    assert affordable_nats(round(0.06 * m), m, 0.05, 0.375) == pytest.approx(adapter, rel=1e-4)
    assert examples_needed(1.0, 0.5, 0.05, 0.5) == math.inf


def test_no_risk_below_the_training_error_is_reached():
    assert affordable_nats(50, 100, 0.05, 0.5) == 0
    assert affordable_nats(1, 10, 1e-9, 0.2) == 0


def test_the_cheapest_description_is_named():
    code = occam(100, 1, 500, 0.05)
    near = pinsker([Anchor(name="a", squared_distance_upper=2.0)], [0.1], 500, 0.05)
    assert cheapest([code, near]) == ("compression.occam", 100 * math.log(2))
    assert cheapest([]) is None
