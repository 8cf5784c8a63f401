"""The compression bound with a rank of its own for every layer."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from dlgen_cli.bounds.arithmetic import ZERO, to_float, upward
from dlgen_cli.bounds.compression import (
    EMPTY_TERMS,
    MADE_OF,
    SOURCE,
    Evaluation,
    budget_terms,
    evaluate,
)
from dlgen_cli.bounds.derivations.compression import gap_by_compression
from dlgen_cli.bounds.layered_network import (
    CompressionSetting,
    LayeredNetwork,
    LinearMap,
    network_terms,
    read_network,
    read_setting,
    setting_terms,
    stored_parameters,
)
from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.propagation import sensitivities
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.bounds.theorem import Theorem
from dlgen_cli.records import Assumption, Bound

#: Choices whose linear estimate is best are propagated through the graph; so many of them.
_FINALISTS = 40


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to store one matrix: its rank, its parameters, its share of the distance."""

    rank: int
    parameters: int
    distance: Decimal
    is_whole: bool


@upward
def _choices(map_: LinearMap, sensitivity: Decimal) -> list[_Choice]:
    """Every rank up to the first at which storing the matrix whole is no dearer."""
    whole = _Choice(map_.largest_rank, map_.whole_parameters, ZERO, is_whole=True)
    choices = []
    for rank in range(1, map_.largest_rank + 1):
        if map_.factor_parameters(rank) >= map_.whole_parameters:
            break
        error = Decimal(map_.truncation_errors_upper[rank])
        factors = map_.factor_parameters(rank)
        choices.append(_Choice(rank, factors, sensitivity * error, is_whole=False))
    return [*choices, whole]


def _slope(left: _Choice, right: _Choice) -> Decimal:
    """Change of the distance for each further parameter; negative where it helps."""
    return (right.distance - left.distance) / (right.parameters - left.parameters)


def _lower_hull(choices: Sequence[_Choice]) -> list[_Choice]:
    """The descending part of the lower convex hull of (parameters, distance)."""
    hull: list[_Choice] = []
    for choice in choices:
        if hull and choice.distance >= hull[-1].distance:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _norms(network: LayeredNetwork, choices: Sequence[_Choice]) -> dict[str, LayerNorms]:
    return {
        map_.name: map_.at_rank(None if choice.is_whole else choice.rank)
        for map_, choice in zip(network.maps, choices, strict=True)
    }


@upward
def _walk(
    network: LayeredNetwork, setting: CompressionSetting, union: int
) -> tuple[Evaluation, list[_Choice]]:
    """Walk the hull of the whole network from the cheapest choice to the dearest.

    The first term of the bound is concave in the parameters, so its tangent at the optimum lies
    above it: where the distance is linear in the layers' errors, the optimum over *all* rank
    vectors is also the optimum of a Lagrangian ``distance + multiplier * parameters``, and those
    are the vertices of this walk. Where it is not (a truncated kernel may have a larger norm than
    the kernel, a concatenation takes a root), the vertices are candidates, and the best of them
    are propagated through the graph.
    """
    unmoved = {map_.name: map_.at_rank(None) for map_ in network.maps}
    costs = sensitivities(network.nodes, unmoved, setting.radius)
    hulls = [_lower_hull(_choices(map_, costs[map_.name].weight)) for map_ in network.maps]
    steps = sorted(
        (_slope(left, right), layer, position)
        for layer, hull in enumerate(hulls)
        for position, (left, right) in enumerate(pairwise(hull))
    )
    biases = sum(map_.bias_parameters for map_ in network.maps)
    current = [hull[0] for hull in hulls]
    visited = [current]
    for _, layer, position in steps:
        current = [*current[:layer], hulls[layer][position + 1], *current[layer + 1 :]]
        visited.append(current)

    def linear_estimate(choices: Sequence[_Choice]) -> Decimal:
        distance = upward(sum)((choice.distance for choice in choices), ZERO)
        return evaluate(setting, bits_of(choices), distance, union).value

    def bits_of(choices: Sequence[_Choice]) -> int:
        parameters = biases + sum(choice.parameters for choice in choices)
        return setting.bits_per_parameter * parameters

    finalists = [*heapq.nsmallest(_FINALISTS, visited, key=linear_estimate), visited[-1]]
    norms = (_norms(network, choices) for choices in finalists)
    scored = [
        (evaluate(setting, bits_of(choices), distance, union), choices)
        for choices, distance in zip(
            finalists, network.distances(norms, setting.radius), strict=True
        )
    ]
    return min(scored, key=lambda one: one[0].value)


def layer_ranks(
    network: LayeredNetwork,
    setting: CompressionSetting,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the generalization gap by the best rank for every layer, all vectors at once.

    ``sqrt( (b P ln 2 + sum_n ln r_max,n + ln(1/delta)) / (2m) ) + 2 beta dist``, with
    ``P = sum_n min(r_n (o_n + i_n), o_n i_n)``: a layer is stored whole where that is cheaper,
    and then has no truncation error. Holds with probability 1 - delta over all
    ``prod_n r_max,n`` vectors; on a chain of matrices the reported one is the best of them all.

    Source: `SOURCE`.

    Assumes: the setting of `dlgen_cli.bounds.compression`.

    Args:
        network: graph and layers.
        setting: the shared numbers.
        assumptions: the caller's ledger.

    Returns:
        An upper bound, not clipped at 1. ``terms["ranks"]`` maps each layer to its rank,
        ``terms["stored_whole"]`` lists the layers that are not factored.

    Raises:
        UsageError: a number outside its range, named.
    """
    union = math.prod(map_.largest_rank for map_ in network.maps)
    evaluation, chosen = _walk(network, setting, union)
    named = list(zip((map_.name for map_ in network.maps), chosen, strict=True))
    return _conclude_ranks(
        network,
        setting,
        evaluation,
        norms=_norms(network, chosen),
        ranks={name: choice.rank for name, choice in named},
        stored_whole=[name for name, choice in named if choice.is_whole],
        assumptions=assumptions,
    )


def _conclude_ranks(
    network: LayeredNetwork,
    setting: CompressionSetting,
    evaluation: Evaluation,
    *,
    norms: Mapping[str, LayerNorms],
    ranks: Mapping[str, int],
    stored_whole: Sequence[str],
    assumptions: Sequence[Assumption],
) -> Bound:
    """`layer_ranks` from the evaluation of its choice.

    Args:
        network: graph and layers.
        setting: the shared numbers.
        evaluation: of the choice, with the union over all rank vectors.
        norms: of every layer at its rank.
        ranks: by layer.
        stored_whole: the layers that are not factored.
        assumptions: the caller's ledger.
    """
    union = math.prod(map_.largest_rank for map_ in network.maps)
    return LAYER_RANKS.conclude(
        value=evaluation.value,
        terms={
            "ranks": dict(ranks),
            "stored_whole": list(stored_whole),
            **evaluation.terms(),
            "union_nats": to_float(Decimal(union).ln()),
            **budget_terms(network, setting, union),
            **setting_terms(setting),
            **network_terms(network, norms, setting.radius),
        },
        assumptions=assumptions,
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    """The ranks are taken as given, for any do."""
    network, norms = read_network(terms)
    setting, ranks = read_setting(terms, delta), terms.counts("ranks")
    whole = terms.texts("stored_whole")
    parameters = stored_parameters(terms, network, ranks, whole)
    for map_ in network.maps:
        if map_.name in whole and norms[map_.name].error_upper != 0:
            raise UnusableField(terms.path("stored_whole"), map_.name, "layers without an error")
    union = math.prod(map_.largest_rank for map_ in network.maps)
    evaluation = evaluate(
        setting,
        setting.bits_per_parameter * parameters,
        network.distance(norms, setting.radius),
        union,
    )
    return _conclude_ranks(
        network,
        setting,
        evaluation,
        norms=norms,
        ranks=ranks,
        stored_whole=whole,
        assumptions=lines,
    )


LAYER_RANKS = Theorem(
    name="compression.layer_ranks",
    family="compression",
    title="Compression with a rank for every layer, all rank vectors at once",
    speaks_of="the gap of the network itself, in a β-Lipschitz loss",
    source=SOURCE,
    evaluate=layer_ranks,
    read_back=_read_back,
    made_of=MADE_OF,
    is_rechosen=True,
    empty_terms={"ranks": {}, **EMPTY_TERMS},
    derive=lambda terms: gap_by_compression(terms, "union"),
)
