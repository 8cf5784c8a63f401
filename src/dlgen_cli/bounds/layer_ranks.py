"""The compression bound with a rank of its own for every layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from dlgen_cli.bounds.arithmetic import ZERO, to_float, upward
from dlgen_cli.bounds.assumptions import conclude
from dlgen_cli.bounds.compression import (
    SOURCE,
    CompressionSetting,
    Evaluation,
    LinearMap,
    check_maps,
    evaluate,
    sensitivities,
)
from dlgen_cli.records import Assumption, Bound


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to store one matrix: its rank, its parameters, its share of the distance."""

    rank: int
    parameters: int
    distance: Decimal


@upward
def _choices(map_: LinearMap, sensitivity: Decimal) -> list[_Choice]:
    """Every rank up to the first at which storing the matrix whole is no dearer."""
    whole = map_.rows * map_.columns
    choices = []
    for rank in range(1, map_.largest_rank + 1):
        factors = map_.factor_parameters(rank)
        if factors >= whole:
            choices.append(_Choice(map_.largest_rank, whole, ZERO))
            break
        choices.append(_Choice(rank, factors, sensitivity * map_.truncation_error(rank)))
    return choices


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


@upward
def _walk(
    maps: Sequence[LinearMap], setting: CompressionSetting, union: int
) -> tuple[Evaluation, list[_Choice]]:
    """Walk the hull of the whole network from the cheapest choice to the dearest.

    The first term of the bound is concave in the parameters, so its tangent at the optimum lies
    above it: the optimum over *all* rank vectors is also the optimum of a Lagrangian
    ``distance + multiplier * parameters``, and those are the vertices of this walk.
    """
    hulls = [
        _lower_hull(_choices(map_, weight))
        for map_, weight in zip(maps, sensitivities(maps, setting), strict=True)
    ]
    steps = sorted(
        (_slope(left, right), layer, position)
        for layer, hull in enumerate(hulls)
        for position, (left, right) in enumerate(pairwise(hull))
    )
    current = [hull[0] for hull in hulls]
    parameters = sum(choice.parameters for choice in current)
    parameters += sum(map_.bias_parameters for map_ in maps)
    best = evaluate(setting, parameters, _total_distance(current), union)
    best_choices = current
    for _, layer, position in steps:
        chosen = hulls[layer][position + 1]
        parameters += chosen.parameters - current[layer].parameters
        current = [*current[:layer], chosen, *current[layer + 1 :]]
        evaluation = evaluate(setting, parameters, _total_distance(current), union)
        if evaluation.value < best.value:
            best, best_choices = evaluation, current
    return best, best_choices


def _total_distance(choices: Sequence[_Choice]) -> Decimal:
    return upward(sum)((choice.distance for choice in choices), ZERO)


def layer_ranks(
    maps: Sequence[LinearMap],
    setting: CompressionSetting,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the generalization gap by the best rank for every layer, all vectors at once.

    ``sqrt( ((b P + 1) ln 2 + sum_n ln r_max,n + ln(1/delta)) / (2m) ) + 2 beta dist``, with
    ``P = sum_n min(r_n (o_n + i_n), o_n i_n)``: a layer is stored whole where that is cheaper,
    and then has no truncation error. Holds with probability 1 - delta over all
    ``prod_n r_max,n`` vectors; the reported one is the best of them all.

    Source: `SOURCE`.

    Assumes: the setting of `dlgen_cli.bounds.compression`.

    Args:
        maps: the chain, in the order of application.
        setting: the shared numbers.
        assumptions: the caller's ledger.

    Returns:
        An upper bound, not clipped at 1. ``terms["ranks"]`` maps each layer to its rank,
        ``terms["stored_whole"]`` lists the layers that are not factored.

    Raises:
        UsageError: a number outside its range, named.
    """
    check_maps(maps)
    union = math.prod(map_.largest_rank for map_ in maps)
    evaluation, chosen = _walk(maps, setting, union)
    whole = [
        map_.name
        for map_, choice in zip(maps, chosen, strict=True)
        if choice.parameters < map_.factor_parameters(choice.rank)
    ]
    return conclude(
        theorem="compression.layer_ranks",
        title="Compression with a rank for every layer, all rank vectors at once",
        value=evaluation.value,
        terms={
            "ranks": {m.name: choice.rank for m, choice in zip(maps, chosen, strict=True)},
            "stored_whole": whole,
            **evaluation.terms(),
            "union_nats": to_float(Decimal(union).ln()),
        },
        assumptions=assumptions,
        source=SOURCE,
        withhold_terms=True,
    )
