"""Networks as the compression theorems see them: what is counted, recorded and read back."""

import json

import pytest
from chains import CHAINS, a_map, a_setting, chain_of

from dlgen_cli.bounds.layered_network import (
    LinearMap,
    network_terms,
    read_network,
    read_setting,
    setting_terms,
    stored_parameters,
)
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.errors import UsageError

MAPS = [a_map(6, 4, 1.5, "a", seed=1, bias=0.5), a_map(5, 6, 0.8, "b", seed=2)]


def test_factors_cost_a_row_and_a_column_for_each_rank():
    one = a_map(6, 4)
    assert one.largest_rank == 4
    assert one.whole_parameters == 24
    assert [one.factor_parameters(rank) for rank in (1, 2, 4)] == [10, 20, 40]
    diagonal = LinearMap(
        name="d", rows=7, columns=7, norm_upper=2, truncation_errors_upper=[], is_diagonal=True
    )
    assert (diagonal.largest_rank, diagonal.whole_parameters) == (1, 7)
    assert diagonal.factor_parameters(1) == 7
    assert diagonal.at_rank(1).error_upper == 0


def test_a_rank_cuts_off_its_singular_value_and_the_largest_cuts_nothing():
    one = a_map(6, 4)
    errors = [one.at_rank(rank).error_upper for rank in (0, 1, 3, 4, 9, None)]
    assert errors == [*(one.truncation_errors_upper[n] for n in (0, 1, 3)), 0, 0, 0]
    assert one.at_rank(2).moved_norm_upper == one.norm_upper


@pytest.mark.parametrize("chain", CHAINS)
def test_graph_and_norms_are_read_back_from_json(chain):
    network = chain_of(CHAINS[chain], 1.5)
    norms = network.at_rank(2)
    terms = json.loads(json.dumps(network_terms(network, norms, 3.0)))
    found, found_norms = read_network(Fields(terms))
    assert list(found.nodes) == list(network.nodes)
    assert found.distance(found_norms, 3.0) == network.distance(norms, 3.0)


@pytest.mark.parametrize("chain", CHAINS)
def test_distances_at_all_ranks_are_those_at_each_rank(chain):
    network = chain_of(CHAINS[chain], 1.5)
    largest = max(map_.largest_rank for map_ in network.maps)
    alone = [network.distance(network.at_rank(rank), 3.0) for rank in range(1, largest + 1)]
    assert network.rank_distances(3.0) == alone


def test_the_setting_is_read_back():
    for sides in (1, 2):
        setting = a_setting(radius=2.5, sides=sides)
        terms = json.loads(json.dumps(setting_terms(setting)))
        assert read_setting(Fields(terms), setting.delta) == setting


@pytest.mark.parametrize(
    "changed",
    [
        {"bits_per_parameter": 0},
        {"examples": 1},
        {"delta": 1.0},
        {"loss_lipschitz": 0.0},
        {"radius": -1.0},
    ],
)
def test_numbers_out_of_range_are_refused(changed):
    with pytest.raises(UsageError):
        a_setting(**changed)


def _set(place, value):
    def change(recorded):
        *path, last = place
        for step in path:
            recorded = recorded[step]
        recorded[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (_set(("nodes", 1, "inputs"), ["node b"]), "nodes[1].inputs"),
        (_set(("nodes", 1, "kind"), "magic"), "nodes[1].kind"),
        (_set(("nodes", 1, "layer"), "c"), "layers"),
        (_set(("nodes", 1, "secret"), 1), "nodes[1].secret"),
        (_set(("nodes", 2, "factor_upper"), "1"), "nodes[2].factor_upper"),
        (_set(("layers", 0, "moved_norm_upper"), 0.1), "layers[0].moved_norm_upper"),
        (_set(("layers", 0, "rows"), 1.5), "layers[0].rows"),
        (_set(("layers", 1, "name"), "c"), "layers"),
    ],
)
def test_a_record_that_no_report_holds_is_refused(change, where):
    network = chain_of(MAPS)
    terms = json.loads(json.dumps(network_terms(network, network.at_rank(2), 1.0)))
    read_network(Fields(terms))
    change(terms["network"])
    with pytest.raises(UnusableField) as caught:
        read_network(Fields(terms))
    assert caught.value.where == f"network.{where}"


def test_stored_numbers_are_counted_at_their_ranks():
    terms, network = Fields({}), chain_of(MAPS)
    factors = stored_parameters(terms, network, {"a": 2, "b": 3}, [])
    assert factors == 2 * (6 + 4) + 6 + 3 * (5 + 6)
    assert stored_parameters(terms, network, {"a": 2, "b": 5}, ["b"]) == 2 * 10 + 6 + 30
    for ranks, whole in [
        ({"a": 2}, []),
        ({"a": 2, "b": 6}, []),
        ({"a": 0, "b": 5}, []),
        ({"a": 2, "b": 4}, ["b"]),
        ({"a": 2, "b": 5}, ["c"]),
    ]:
        with pytest.raises(UnusableField):
            stored_parameters(terms, network, ranks, whole)
