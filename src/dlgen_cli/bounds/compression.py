"""Compression bounds: rank-r factors in b bits.

Setting: a network h whose layers are affine maps ``W_n x + c_n``, joined by maps with known
Lipschitz constants, on inputs of norm at most R; a loss in [0, 1] that is beta-Lipschitz in the
prediction. The compressed network h' replaces each ``W_n`` by its best rank-r approximation;
biases, which the source does not have, are kept as they are and counted.

    L_D(h) - L_S(h) <= sqrt( (ln(sides) + bits ln 2 + ln(choices / delta)) / (2 m) ) + 2 beta dist

The first term is a union bound over the ``2^bits`` compressed networks (Hoeffding), for one side;
the source's own forms, `fixed_rank` and `all_ranks`, pay for two. The second term pays for moving
from h to h' and back on the sample and on the population. ``dist`` is propagated through the graph;
on the source's chain without biases it is
``R gamma^(N-1) sum_n sigma_{r+1}(W_n) prod_{j != n} ||W_j||``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import Any

from dlgen_cli.bounds.arithmetic import (
    LN2,
    UPWARD,
    ZERO,
    log10,
    log_inverse,
    to_float,
    upward,
    with_logarithm,
)
from dlgen_cli.bounds.derivations.compression import gap_by_compression
from dlgen_cli.bounds.derivations.derivation import read_number
from dlgen_cli.bounds.layered_network import (
    CompressionSetting,
    LayeredNetwork,
    network_terms,
    read_network,
    read_setting,
    setting_terms,
)
from dlgen_cli.bounds.ranges import (
    require_count,
    require_positive,
)
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.bounds.theorem import Part, Theorem
from dlgen_cli.records import Assumption, Bound

SOURCE = (
    "Compression by low-rank factors with b-bit parameters and a telescoping distance; "
    "Hoeffding's inequality with a union bound. Compare Arora, Ge, Neyshabur and Zhang 2018, "
    "'Stronger generalization bounds for deep nets via a compression approach', "
    "https://arxiv.org/abs/1802.05296"
)


def margin_lipschitz(margin: float) -> float:
    """Lipschitz constant of the ramp loss at margin t on logits: ``sqrt(2) / t``, upward.

    The ramp loss is 1 at a margin of 0 and less, 0 at t and more; the margin changes by at most
    ``sqrt(2) ||p - q||_2``. Its expectation bounds the 0-1 error from above.

    Raises:
        UsageError: the margin is not above 0.
    """
    require_positive("margin", margin)
    root_up = math.nextafter(math.sqrt(2.0), math.inf)
    return math.nextafter(root_up / margin, math.inf)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One choice of ranks, evaluated; every number rounded upward."""

    bits: int
    complexity: Decimal
    distance: Decimal
    approximation: Decimal

    @property
    @upward
    def value(self) -> Decimal:
        """The bound: complexity plus approximation."""
        return self.complexity + self.approximation

    def terms(self) -> dict[str, Any]:
        """The terms that every compression bound reports."""
        return {
            "bits": self.bits,
            "complexity": to_float(self.complexity),
            **with_logarithm("distance", self.distance),
            **with_logarithm("approximation", self.approximation),
        }


@upward
def evaluate(setting: CompressionSetting, bits: int, distance: Decimal, choices: int) -> Evaluation:
    """The bound for a class of ``2^bits`` networks, one of ``choices`` classes.

    Args:
        setting: the shared numbers.
        bits: code length of a network of the class.
        distance: from the network to its compressed version, an upper bound.
        choices: classes that delta is divided among, at least 1.
    """
    nats = (
        (bits + setting.sides - 1) * LN2
        + Decimal(choices).ln()
        + log_inverse(Decimal(setting.delta))
    )
    return Evaluation(
        bits=bits,
        complexity=(nats / (2 * setting.examples)).sqrt(),
        distance=distance,
        approximation=2 * Decimal(setting.loss_lipschitz) * distance,
    )


def _factor_bits(network: LayeredNetwork, setting: CompressionSetting, rank: int) -> int:
    parameters = sum(map_.factor_parameters(rank) + map_.bias_parameters for map_ in network.maps)
    return setting.bits_per_parameter * parameters


def budget_terms(
    network: LayeredNetwork, setting: CompressionSetting, choices: int
) -> dict[str, Any]:
    """What would have to be true for the complexity to be below 1.

    Returns:
        ``informative_bits``: the largest code length whose complexity is below 1, at least 0;
        ``least_complexity``: the complexity of rank 1 at one bit for each parameter.
    """
    with localcontext(UPWARD):
        choice_nats = Decimal(choices).ln() + log_inverse(Decimal(setting.delta))
        budget = (2 * setting.examples - choice_nats) / LN2 - (setting.sides - 1)
    least = sum(map_.factor_parameters(1) + map_.bias_parameters for map_ in network.maps)
    cheapest = evaluate(setting, least, ZERO, choices)
    return {
        "informative_bits": max(0, math.ceil(budget) - 1),
        "least_complexity": to_float(cheapest.complexity),
    }


def fixed_rank(
    network: LayeredNetwork,
    setting: CompressionSetting,
    rank: int,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the generalization gap by compression to one rank, with probability 1 - delta.

    ``sqrt( ((b P_r + 1) ln 2 + ln(1/delta)) / (2m) ) + 2 beta dist_r``, with
    ``P_r = sum_n r (o_n + i_n)``.

    Source: `SOURCE`.

    Assumes: the rank was fixed before the data; the module's setting.

    Args:
        network: graph and layers.
        setting: the shared numbers.
        rank: r, at least 1; beyond the largest useful rank only the count grows.
        assumptions: the caller's ledger.

    Returns:
        An upper bound, not clipped at 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    require_count("r", rank)
    setting = replace(setting, sides=2)
    distance = network.distance(network.at_rank(rank), setting.radius)
    evaluation = evaluate(setting, _factor_bits(network, setting, rank), distance, choices=1)
    return FIXED_RANK.conclude(
        title=f"Compression to rank {rank}, fixed in advance",
        value=evaluation.value,
        terms={
            "rank": rank,
            **evaluation.terms(),
            **budget_terms(network, setting, 1),
            **setting_terms(setting),
            **network_terms(network, network.at_rank(rank), setting.radius),
        },
        assumptions=assumptions,
    )


def all_ranks(
    network: LayeredNetwork,
    setting: CompressionSetting,
    assumptions: Sequence[Assumption] = (),
    *,
    distances: Sequence[Decimal] | None = None,
) -> Bound:
    """Bound the generalization gap by the best rank, with probability 1 - delta over all ranks.

    Each rank ``1 <= r <= r_max = max_n min(o_n, i_n)`` gets ``delta / r_max``; the minimum over
    r is reported, and ``terms["sweep"]`` has every r.

    Source: `SOURCE`. The fair copy of the source prints ``2Nd(r+1)`` and ``2(m-1)`` in places,
    slips for ``2Ndr + 1`` and ``2m``.

    Assumes: the module's setting.

    Args:
        network: graph and layers.
        setting: the shared numbers.
        assumptions: the caller's ledger.
        distances: `LayeredNetwork.rank_distances` at the setting's radius, where they are known:
            they do not depend on delta.

    Returns:
        An upper bound, not clipped at 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    setting = replace(setting, sides=2)
    if distances is None:
        distances = network.rank_distances(setting.radius)
    largest = len(distances)
    sweep = [
        evaluate(setting, _factor_bits(network, setting, rank), distance, largest)
        for rank, distance in enumerate(distances, start=1)
    ]
    best = min(range(largest), key=lambda index: sweep[index].value)
    return _conclude_sweep(network, setting, sweep, best + 1, assumptions)


def _conclude_sweep(
    network: LayeredNetwork,
    setting: CompressionSetting,
    sweep: Sequence[Evaluation],
    rank: int,
    assumptions: Sequence[Assumption],
) -> Bound:
    """`all_ranks` from its evaluations.

    Args:
        network: graph and layers.
        setting: the shared numbers.
        sweep: for every rank from 1 on, at ``delta`` over their number.
        rank: the best of them.
        assumptions: the caller's ledger.
    """
    best = sweep[rank - 1]
    return ALL_RANKS.conclude(
        value=best.value,
        terms={
            "rank": rank,
            **best.terms(),
            "largest_rank": len(sweep),
            **budget_terms(network, setting, len(sweep)),
            **setting_terms(setting),
            **network_terms(network, network.at_rank(rank), setting.radius),
            "sweep": [
                {
                    "rank": one,
                    **evaluation.terms(),
                    "value": to_float(evaluation.value),
                    "log10_value": log10(evaluation.value),
                }
                for one, evaluation in enumerate(sweep, start=1)
            ],
        },
        assumptions=assumptions,
    )


def _read_fixed_rank(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    network, _ = read_network(terms)
    return fixed_rank(network, read_setting(terms, delta), terms.count("rank"), lines)


def _read_all_ranks(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    """The best rank is evaluated from the norms on record, the others from their distances."""
    network, norms = read_network(terms)
    setting, rank = read_setting(terms, delta), terms.count("rank")
    largest = max(map_.largest_rank for map_ in network.maps)
    rows = list(terms.rows("sweep"))
    if len(rows) != largest or not 1 <= rank <= largest:
        raise UnusableField(terms.path("sweep"), len(rows), f"{largest} ranks, the best among them")
    sweep = []
    for one, row in enumerate(rows, start=1):
        distance = (
            network.distance(norms, setting.radius) if one == rank else read_number(row, "distance")
        )
        sweep.append(evaluate(setting, _factor_bits(network, setting, one), distance, largest))
    best = _conclude_sweep(network, setting, sweep, rank, lines)
    if any(one.value < sweep[rank - 1].value for one in sweep):
        raise UnusableField(terms.path("rank"), rank, "the rank with the smallest value")
    return best


MADE_OF = (
    Part(term="complexity", phrase="complexity {}"),
    Part(term="approximation", phrase="approximation {}"),
    Part(term="rank", phrase="r = {}", kind="count"),
)
#: What is null where a compression bound is withheld.
EMPTY_TERMS: Mapping[str, Any] = dict.fromkeys(
    (
        "bits",
        "complexity",
        "distance",
        "log10_distance",
        "approximation",
        "log10_approximation",
    )
)
FIXED_RANK = Theorem(
    name="compression.fixed_rank",
    family="compression",
    title="Compression to one rank",
    speaks_of="the gap of the network itself, in a β-Lipschitz loss",
    source=SOURCE,
    evaluate=fixed_rank,
    read_back=_read_fixed_rank,
    made_of=MADE_OF,
    empty_terms={"rank": None, **EMPTY_TERMS},
    derive=lambda terms: gap_by_compression(terms, "none"),
)
ALL_RANKS = Theorem(
    name="compression.all_ranks",
    family="compression",
    title="Compression to the best rank, all ranks at once",
    speaks_of="the gap of the network itself, in a β-Lipschitz loss",
    source=SOURCE,
    evaluate=all_ranks,
    read_back=_read_all_ranks,
    made_of=MADE_OF,
    empty_terms={"rank": None, "sweep": [], **EMPTY_TERMS},
    derive=lambda terms: gap_by_compression(terms, "rank"),
)
