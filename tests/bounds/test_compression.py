"""Compression bounds against an independent evaluation at 50 digits."""

import math

import mpmath
import numpy as np
import pytest
from chains import CHAINS, SETTINGS, a_map, a_setting, chain_of, exact_complexity, exact_distance
from exact import close_above
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgen_cli.bounds import (
    LinearMap,
    all_ranks,
    fixed_rank,
    layer_ranks,
    margin_lipschitz,
)
from dlgen_cli.errors import UsageError


def matches(terms, name, exact):
    """The float where it exists, the logarithm in any case."""
    if exact == 0:
        assert terms[name] == 0
        return
    if 1e-307 < exact < 1e307:
        close_above(terms[name], exact)
    else:
        assert terms[name] is None
    assert terms[f"log10_{name}"] == pytest.approx(float(mpmath.log10(exact)), rel=1e-12)
    assert terms[f"log10_{name}"] >= mpmath.log10(exact)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("numbers", SETTINGS)
def test_every_rank_of_the_sweep_equals_the_formula(chain, numbers):
    maps, (setting, gamma) = CHAINS[chain], SETTINGS[numbers]
    bound = all_ranks(chain_of(maps, gamma), setting)
    largest = max(min(one.rows, one.columns) for one in maps)
    assert [row["rank"] for row in bound.terms["sweep"]] == list(range(1, largest + 1))
    values = []
    for row in bound.terms["sweep"]:
        rank = row["rank"]
        parameters = sum(rank * (one.rows + one.columns) for one in maps)
        distance = exact_distance(maps, setting, [rank] * len(maps), gamma)
        complexity = exact_complexity(setting, parameters, largest)
        approximation = 2 * mpmath.mpf(setting.loss_lipschitz) * distance
        assert row["bits"] == setting.bits_per_parameter * parameters
        close_above(row["complexity"], complexity)
        matches(row, "distance", distance)
        matches(row, "approximation", approximation)
        matches(row, "value", complexity + approximation)
        values.append(complexity + approximation)
    assert bound.terms["rank"] == 1 + values.index(min(values))
    assert bound.log10_value == pytest.approx(float(mpmath.log10(min(values))), rel=1e-12)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("rank", [1, 3, 40])
def test_fixed_rank_pays_no_union(chain, rank):
    maps, setting = CHAINS[chain], a_setting()
    bound = fixed_rank(chain_of(maps, 1.5), setting, rank)
    parameters = sum(rank * (one.rows + one.columns) for one in maps)
    distance = exact_distance(maps, setting, [rank] * len(maps), 1.5)
    complexity = exact_complexity(setting, parameters, 1)
    close_above(bound.terms["complexity"], complexity)
    matches(bound.terms, "distance", distance)
    exact = complexity + 2 * distance
    assert bound.log10_value == pytest.approx(float(mpmath.log10(exact)), rel=1e-12)


def test_a_bias_enters_the_radius_and_the_count():
    plain = [a_map(5, 5, name="a", seed=1), a_map(5, 5, name="b", seed=2)]
    biased = [a_map(5, 5, name="a", seed=1, bias=0.7), a_map(5, 5, name="b", seed=2, bias=0.2)]
    setting = a_setting(radius=3.0)
    found = fixed_rank(chain_of(biased, 1.25), setting, 2)
    one, two = plain
    gamma, radius = mpmath.mpf(1.25), mpmath.mpf(3)
    norms = [mpmath.mpf(one.norm_upper), mpmath.mpf(two.norm_upper)]
    tails = [mpmath.mpf(one.truncation_errors_upper[2]), mpmath.mpf(two.truncation_errors_upper[2])]
    inside = gamma * (norms[0] * radius + mpmath.mpf(0.7))
    exact = norms[1] * gamma * tails[0] * radius + tails[1] * inside
    close_above(found.terms["distance"], exact)
    assert found.terms["bits"] == 32 * (2 * 2 * 10 + 10)


def test_ramp_loss_is_lipschitz_with_the_constant_that_margin_sets():
    beta = margin_lipschitz(0.5)
    assert mpmath.mpf(beta) >= mpmath.sqrt(2) / mpmath.mpf(0.5)
    assert beta == pytest.approx(math.sqrt(2) / 0.5, rel=1e-15)
    logits = np.random.default_rng(0).normal(size=(2, 500, 4))

    def ramp(scores):
        margin = scores[:, 0] - scores[:, 1:].max(axis=1)
        return np.clip(1 - margin / 0.5, 0, 1)

    gap = np.abs(ramp(logits[0]) - ramp(logits[1]))
    assert np.all(gap <= beta * np.linalg.norm(logits[0] - logits[1], axis=1) + 1e-12)


@settings(max_examples=60)
@given(
    factor=st.floats(min_value=1.0, max_value=50.0),
    examples=st.integers(min_value=2, max_value=10**9),
)
def test_more_of_anything_bad_never_lowers_the_bound(factor, examples):
    base = chain_of(CHAINS["square"])
    larger = chain_of(
        [
            LinearMap(
                name=one.name,
                rows=one.rows,
                columns=one.columns,
                norm_upper=one.norm_upper * factor,
                truncation_errors_upper=[error * factor for error in one.truncation_errors_upper],
            )
            for one in base.maps
        ]
    )
    for theorem in (all_ranks, layer_ranks):
        least = theorem(base, a_setting(examples=examples)).value
        assert theorem(larger, a_setting(examples=examples)).value >= least
        assert theorem(base, a_setting(examples=examples, radius=factor)).value >= least
        assert theorem(base, a_setting(examples=examples, loss_lipschitz=factor)).value >= least
        assert theorem(base, a_setting(examples=examples, bits_per_parameter=33)).value > least
        assert theorem(base, a_setting(examples=2 * examples)).value < least


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank):
    with pytest.raises(UsageError, match=r"^r is"):
        fixed_rank(chain_of(CHAINS["square"]), a_setting(), rank)


def test_an_empty_network_is_refused():
    with pytest.raises(UsageError, match="no matrix"):
        chain_of([])


@pytest.mark.parametrize("m", [2, 1437, 50_000, 10**8])
def test_the_budget_of_bits_is_where_the_complexity_crosses_one(m):
    setting = a_setting(examples=m, bits_per_parameter=1)
    terms = all_ranks(chain_of(CHAINS["square"]), setting).terms
    budget, union = terms["informative_bits"], mpmath.log(mpmath.mpf(8) / mpmath.mpf(0.05))

    def complexity(bits):
        return mpmath.sqrt(((bits + 1) * mpmath.log(2) + union) / (2 * m))

    assert complexity(budget + 1) >= 1
    assert budget == 0 or complexity(budget) < 1
    assert terms["least_complexity"] == terms["sweep"][0]["complexity"]


def test_a_diagonal_map_is_stored_whole():
    diagonal = LinearMap(
        name="d", rows=7, columns=7, norm_upper=2.0, truncation_errors_upper=[], is_diagonal=True
    )
    network = chain_of([a_map(7, 7, name="a"), diagonal])
    for row in all_ranks(network, a_setting()).terms["sweep"]:
        assert row["bits"] == 32 * (row["rank"] * 14 + 7)
    assert layer_ranks(network, a_setting()).terms["ranks"]["d"] == 1


def test_a_truncated_kernel_may_have_a_larger_norm():
    one = a_map(5, 5, name="a", seed=1)
    grown = LinearMap(
        name="k",
        rows=5,
        columns=5,
        norm_upper=1.0,
        truncation_errors_upper=[1.0, 0.5, 0.4, 0.3, 0.2, 0.0],
        truncated_norms_upper=[0.0, 1.4, 1.3, 1.2, 1.1, 1.0],
    )
    found = fixed_rank(chain_of([grown, one]), a_setting(), 2).terms["distance"]
    exact = mpmath.mpf(one.norm_upper) * mpmath.mpf(0.4)
    exact += mpmath.mpf(one.truncation_errors_upper[2]) * mpmath.mpf(1.3)
    close_above(found, exact)
