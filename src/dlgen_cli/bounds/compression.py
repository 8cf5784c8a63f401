"""Compression bounds: rank-r factors in b bits.

Setting: a network h whose layers are affine maps ``W_n x + c_n``, joined by maps with known
Lipschitz constants, on inputs of norm at most R; a loss in [0, 1] that is beta-Lipschitz in the
prediction. The compressed network h' replaces each ``W_n`` by its best rank-r approximation;
biases, which the source does not have, are kept as they are and counted.

    L_D(h) - L_S(h) <= sqrt( ((bits + 1) ln 2 + ln(choices / delta)) / (2 m) ) + 2 beta dist

The first term is a two-sided union bound over the ``2^bits`` compressed networks (Hoeffding);
the second pays for moving from h to h' and back on the sample and on the population. ``dist`` is
propagated through the graph; on the source's chain without biases it is
``R gamma^(N-1) sum_n sigma_{r+1}(W_n) prod_{j != n} ||W_j||``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from dlgen_cli.bounds.assumptions import conclude
from dlgen_cli.bounds.propagation import LayerNorms, propagate
from dlgen_cli.bounds.ranges import (
    require_count,
    require_delta,
    require_examples,
    require_positive,
)
from dlgen_cli.bounds.recorded import network_terms, setting_terms
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Assumption, Bound, GraphNode

SOURCE = (
    "Compression by low-rank factors with b-bit parameters and a telescoping distance; "
    "Hoeffding's inequality with a union bound. Compare Arora, Ge, Neyshabur and Zhang 2018, "
    "'Stronger generalization bounds for deep nets via a compression approach', "
    "https://arxiv.org/abs/1802.05296"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMap:
    """What the theorem needs to know of one map ``x -> W x + c``.

    Attributes:
        name: as the nodes of the network name it.
        rows: of the matrix that is factored, at least 1: output features or channels.
        columns: of that matrix, at least 1.
        norm_upper: upper bound on the operator norm of W.
        truncation_errors_upper: entry r bounds the operator norm of ``W - W_r`` from above; from
            entry ``min(rows, columns)`` on it is 0.
        truncated_norms_upper: entry r bounds the operator norm of ``W_r``; None where truncation
            does not raise it, as for a matrix.
        bias_norm_upper: upper bound on ``||c||_2`` over the whole output.
        bias_parameters: entries of c.
        is_diagonal: a diagonal map of ``rows`` entries, which is stored whole.
    """

    name: str
    rows: int
    columns: int
    norm_upper: float
    truncation_errors_upper: Sequence[float]
    truncated_norms_upper: Sequence[float] | None = None
    bias_norm_upper: float = 0.0
    bias_parameters: int = 0
    is_diagonal: bool = False

    @property
    def largest_rank(self) -> int:
        """``min(rows, columns)``; 1 where there is nothing to choose."""
        return 1 if self.is_diagonal else min(self.rows, self.columns)

    @property
    def whole_parameters(self) -> int:
        """Entries of W."""
        return self.rows if self.is_diagonal else self.rows * self.columns

    def factor_parameters(self, rank: int) -> int:
        """``r (o + i)``: the source's count, also where it exceeds ``o i``."""
        return self.rows if self.is_diagonal else rank * (self.rows + self.columns)

    def at_rank(self, rank: int | None) -> LayerNorms:
        """Norms of W against its rank-r truncation; None keeps W whole."""
        is_whole = rank is None or self.is_diagonal or rank >= self.largest_rank
        moved = self.norm_upper
        if not is_whole and self.truncated_norms_upper is not None:
            moved = self.truncated_norms_upper[rank or 0]
        return LayerNorms(
            norm_upper=self.norm_upper,
            moved_norm_upper=moved,
            error_upper=0.0 if is_whole else self.truncation_errors_upper[rank or 0],
            moved_bias_norm_upper=self.bias_norm_upper,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayeredNetwork:
    """A network as the theorem sees it.

    Attributes:
        nodes: its graph, in the order of evaluation.
        maps: the layers that the nodes name, in the order of first use.
    """

    nodes: Sequence[GraphNode]
    maps: Sequence[LinearMap]

    def __post_init__(self) -> None:
        """Refuse an empty network.

        Raises:
            UsageError: there is no layer.
        """
        if not self.maps:
            raise UsageError(
                "The checkpoint holds no matrix; a compression bound needs at least one.",
                remedy="Check --include and --exclude.",
            )

    def at_rank(self, rank: int) -> dict[str, LayerNorms]:
        """The norms of every layer against its rank-r truncation, by name."""
        return {map_.name: map_.at_rank(rank) for map_ in self.maps}

    def distance(self, norms: Mapping[str, LayerNorms], radius: float) -> Decimal:
        """Bound ``sup ||h(x) - h'(x)||`` over inputs of norm at most ``radius``."""
        return propagate(self.nodes, norms, radius).deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionSetting:
    """The numbers that every compression bound shares.

    Attributes:
        bits_per_parameter: b, at least 1.
        examples: m, at least 2.
        delta: failure probability in (0, 1).
        loss_lipschitz: beta > 0, for ``|l(y, p) - l(y, q)| <= beta ||p - q||_2``.
        radius: R > 0, bounds the norm of the network's input.
    """

    bits_per_parameter: int
    examples: int
    delta: float
    loss_lipschitz: float
    radius: float

    def __post_init__(self) -> None:
        """Refuse numbers outside the theorem's ranges.

        Raises:
            UsageError: naming the number.
        """
        require_count("b", self.bits_per_parameter)
        require_examples(self.examples)
        require_delta(self.delta)
        require_positive("beta", self.loss_lipschitz)
        require_positive("radius", self.radius)


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
    nats = (bits + 1) * LN2 + Decimal(choices).ln() + log_inverse(Decimal(setting.delta))
    return Evaluation(
        bits=bits,
        complexity=(nats / (2 * setting.examples)).sqrt(),
        distance=distance,
        approximation=2 * Decimal(setting.loss_lipschitz) * distance,
    )


def _at_rank(
    network: LayeredNetwork, setting: CompressionSetting, rank: int, choices: int
) -> Evaluation:
    parameters = sum(map_.factor_parameters(rank) + map_.bias_parameters for map_ in network.maps)
    bits = setting.bits_per_parameter * parameters
    return evaluate(setting, bits, network.distance(network.at_rank(rank), setting.radius), choices)


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
        budget = (2 * setting.examples - choice_nats) / LN2 - 1
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
    evaluation = _at_rank(network, setting, rank, choices=1)
    return conclude(
        theorem="compression.fixed_rank",
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
        source=SOURCE,
    )


def all_ranks(
    network: LayeredNetwork,
    setting: CompressionSetting,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the generalization gap by the best rank, with probability 1 - delta over all ranks.

    Each rank ``1 <= r <= r_max = max_n min(o_n, i_n)`` gets ``delta / r_max``; the minimum over
    r is reported, and ``terms["sweep"]`` has every r.

    Source: `SOURCE`. The fair copy of the source prints ``2Nd(r+1)`` and ``2(m-1)`` in places,
    slips for ``2Ndr + 1`` and ``2m``.

    Assumes: the module's setting.

    Returns:
        An upper bound, not clipped at 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    largest = max(map_.largest_rank for map_ in network.maps)
    sweep = [_at_rank(network, setting, rank, choices=largest) for rank in range(1, largest + 1)]
    best = min(range(largest), key=lambda index: sweep[index].value)
    return conclude_sweep(network, setting, sweep, best + 1, assumptions)


def conclude_sweep(
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
    return conclude(
        theorem="compression.all_ranks",
        title="Compression to the best rank, all ranks at once",
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
        source=SOURCE,
    )
