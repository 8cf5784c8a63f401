"""The bound of the stored network against its formula, and what its reader refuses."""

import json
import math

import mpmath
import pytest
from chains import a_map, a_setting, chain_of, exact_complexity, exact_distance
from exact import close_above

from dlgen_cli.bounds.compression_stored import STORED, stored
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.records import SCALE_BITS

MAPS = [a_map(6, 4, 1.5, "a", seed=1, bias=0.5), a_map(5, 6, 0.8, "b", seed=2)]
SETTING = a_setting(bits_per_parameter=8, examples=10**6)
#: Layer a in factors of rank 2 with its bias, layer b whole: four tensors, a scale each.
ENTRIES = 8 * (2 * (6 + 4) + 6 + 5 * 6)
BITS = ENTRIES + 4 * SCALE_BITS
WIDTHS = 9
CHOICES = WIDTHS * 4 * 5


def a_bound(bits=BITS, scale_bits=SCALE_BITS):
    network = chain_of(MAPS)
    norms = {"a": MAPS[0].at_rank(2), "b": MAPS[1].at_rank(None)}
    return stored(
        network,
        SETTING,
        norms,
        ranks={"a": 2, "b": 5},
        stored_whole=["b"],
        stored_bits=bits,
        choices=CHOICES,
        scale_bits=scale_bits,
    )


def recorded(bound):
    return Fields(json.loads(json.dumps(bound.terms)))


def test_it_equals_the_formula():
    bound = a_bound()
    complexity = exact_complexity(SETTING, mpmath.mpf(BITS) / 8, CHOICES, sides=1)
    distance = exact_distance(MAPS, SETTING, [2, 5])
    close_above(bound.terms["complexity"], complexity)
    close_above(bound.terms["distance"], distance)
    close_above(bound.value, complexity + 2 * distance)
    assert bound.terms["widths"] == WIDTHS
    assert bound.terms["union_nats"] == pytest.approx(math.log(CHOICES), rel=1e-14)


@pytest.mark.parametrize("scale_bits", [SCALE_BITS, 64])  # 64 in reports of before
def test_it_is_read_back_to_the_last_bit(scale_bits):
    bound = a_bound(ENTRIES + 4 * scale_bits, scale_bits)
    read = STORED.recompute(recorded(bound), SETTING.delta, ())
    assert read.terms["network"]["layers"] == bound.terms["network"]["layers"]
    assert (read.value, read.status) == (bound.value, bound.status)


@pytest.mark.parametrize("missing", [1, 8, SCALE_BITS, 4 * SCALE_BITS])
def test_a_code_without_all_its_entries_and_scales_is_refused(missing):
    terms = recorded(a_bound(BITS - missing))
    with pytest.raises(UnusableField, match=f"{SCALE_BITS} for each of 4 scales"):
        STORED.recompute(terms, SETTING.delta, ())


def test_no_width_at_all_is_refused():
    terms = Fields({**recorded(a_bound()).values, "widths": 0})
    with pytest.raises(UnusableField, match="at least 1"):
        STORED.recompute(terms, SETTING.delta, ())
