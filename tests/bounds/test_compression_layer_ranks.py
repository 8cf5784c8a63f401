"""A rank for every layer, against all rank vectors."""

import math
from itertools import product

import mpmath
import pytest
from chains import SETTINGS, a_map, a_setting, chain_of, exact_complexity, exact_distance
from exact import close_above

from dlgen_cli.bounds import (
    all_ranks,
    layer_ranks,
)


@pytest.mark.parametrize("numbers", SETTINGS)
def test_layer_ranks_is_the_best_of_all_vectors(numbers):
    maps = [a_map(4, 5, 1.5, "a", seed=1), a_map(6, 4, 0.8, "b", seed=2), a_map(3, 6, 2, "c")]
    setting, gamma = SETTINGS[numbers]
    tops = [min(one.rows, one.columns) for one in maps]
    best = mpmath.inf
    for ranks in product(*(range(1, top + 1) for top in tops)):
        parameters, kept = 0, []
        for one, rank, top in zip(maps, ranks, tops, strict=True):
            whole = rank * (one.rows + one.columns) >= one.rows * one.columns
            kept.append(top if whole else rank)
            parameters += min(rank * (one.rows + one.columns), one.rows * one.columns)
        value = exact_complexity(setting, parameters, math.prod(tops), sides=1)
        value += 2 * mpmath.mpf(setting.loss_lipschitz) * exact_distance(maps, setting, kept, gamma)
        best = min(best, value)
    bound = layer_ranks(chain_of(maps, gamma), setting)
    assert set(bound.terms["ranks"]) == {"a", "b", "c"}
    close_above(bound.value, best)


def test_layer_ranks_costs_at_most_the_union_more_than_one_rank_for_all():
    for scale in (0.01, 0.3, 1.0, 30.0):
        maps = [a_map(20, 20, scale, f"W{n}", seed=n) for n in range(4)]
        setting = a_setting(examples=10**6)
        union = math.sqrt(4 * math.log(20) / (2 * setting.examples))
        network = chain_of(maps)
        assert layer_ranks(network, setting).value <= all_ranks(network, setting).value + union
