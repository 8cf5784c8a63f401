"""Compression bounds: rank-r factors in b bits.

Setting: ``h(x) = W_N s(W_{N-1} ... s(W_1 x + c_1) ...) + c_N`` with ``s`` gamma-Lipschitz and
``s(0) = 0``, inputs of norm at most R, loss in [0, 1] and beta-Lipschitz in the prediction. The
compressed network h' replaces each ``W_n`` by its best rank-r approximation; biases, which the
source does not have, are kept as they are and counted.

    L_D(h) - L_S(h) <= sqrt( ((bits + 1) ln 2 + ln(choices / delta)) / (2 m) ) + 2 beta dist

The first term is a two-sided union bound over the ``2^bits`` compressed networks (Hoeffding);
the second pays for moving from h to h' and back on the sample and on the population.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import (
    LN2,
    ONE,
    ZERO,
    log10,
    log_inverse,
    to_float,
    upward,
    with_logarithm,
)
from dlgen_cli.bounds.assumptions import conclude
from dlgen_cli.bounds.ranges import (
    require_count,
    require_delta,
    require_examples,
    require_nonnegative,
    require_positive,
)
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Assumption, Bound

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
        name: for the table of ranks.
        rows: outputs o of the matrix, at least 1.
        columns: inputs i of the matrix, at least 1.
        norm_upper: upper bound on ``||W||_2``.
        truncation_errors_upper: entry r bounds ``||W - W_r||_2`` from above; from entry
            ``min(o, i)`` on it is 0.
        bias_norm_upper: upper bound on ``||c||_2``.
        bias_parameters: entries of c.
    """

    name: str
    rows: int
    columns: int
    norm_upper: float
    truncation_errors_upper: Sequence[float]
    bias_norm_upper: float = 0.0
    bias_parameters: int = 0

    @property
    def largest_rank(self) -> int:
        """``min(o, i)``."""
        return min(self.rows, self.columns)

    def truncation_error(self, rank: int) -> Decimal:
        """Upper bound on the spectral norm of what rank ``rank`` cuts off."""
        if rank >= self.largest_rank:
            return ZERO
        return Decimal(self.truncation_errors_upper[rank])

    def factor_parameters(self, rank: int) -> int:
        """``r (o + i)``: the source's count, also where it exceeds ``o i``."""
        return rank * (self.rows + self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionSetting:
    """The numbers that every compression bound shares.

    Attributes:
        bits_per_parameter: b, at least 1.
        examples: m, at least 2.
        delta: failure probability in (0, 1).
        loss_lipschitz: beta > 0, for ``|l(y, p) - l(y, q)| <= beta ||p - q||_2``.
        activation_lipschitz: gamma > 0.
        radius: R > 0, bounds the norm of the network's input.
    """

    bits_per_parameter: int
    examples: int
    delta: float
    loss_lipschitz: float
    activation_lipschitz: float
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
        require_positive("gamma", self.activation_lipschitz)
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


@upward
def sensitivities(maps: Sequence[LinearMap], setting: CompressionSetting) -> list[Decimal]:
    """How much the output moves for each unit of error in each matrix, rounded upward.

    The distance is ``sum_n sensitivity_n * ||W_n - W'_n||_2`` whenever ``||W'_n|| <= ||W_n||``,
    as a truncation has it. Without biases ``sensitivity_n = R gamma^(N-1) prod_{j != n} ||W_j||``.

    Returns:
        One nonnegative decimal for each map.
    """
    gamma = Decimal(setting.activation_lipschitz)
    gains = [
        Decimal(map_.norm_upper) * (gamma if position < len(maps) - 1 else ONE)
        for position, map_ in enumerate(maps)
    ]
    radii = [Decimal(setting.radius)]
    for map_ in maps[:-1]:
        norm, bias = Decimal(map_.norm_upper), Decimal(map_.bias_norm_upper)
        radii.append(gamma * (norm * radii[-1] + bias))
    after = [ONE]
    for gain in reversed(gains[1:]):
        after.append(after[-1] * gain)
    after.reverse()
    own = [gamma] * (len(maps) - 1) + [ONE]
    return [radius * g * rest for radius, g, rest in zip(radii, own, after, strict=True)]


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
def evaluate(
    setting: CompressionSetting, parameters: int, distance: Decimal, choices: int
) -> Evaluation:
    """The bound for a class of ``2^(b parameters)`` networks, one of ``choices`` classes."""
    bits = setting.bits_per_parameter * parameters
    nats = (bits + 1) * LN2 + Decimal(choices).ln() + log_inverse(Decimal(setting.delta))
    return Evaluation(
        bits=bits,
        complexity=(nats / (2 * setting.examples)).sqrt(),
        distance=distance,
        approximation=2 * Decimal(setting.loss_lipschitz) * distance,
    )


def check_maps(maps: Sequence[LinearMap]) -> None:
    """Refuse an empty chain and numbers that are no norms.

    Raises:
        UsageError: naming the matrix.
    """
    if not maps:
        raise UsageError(
            "The checkpoint holds no matrix; a compression bound needs at least one.",
            remedy="Check --include and --exclude.",
        )
    for map_ in maps:
        require_nonnegative(f"the norm of {map_.name}", map_.norm_upper)
        require_nonnegative(f"the norm of the bias of {map_.name}", map_.bias_norm_upper)
        for error in map_.truncation_errors_upper:
            require_nonnegative(f"a truncation error of {map_.name}", error)


@upward
def _at_rank(
    maps: Sequence[LinearMap],
    setting: CompressionSetting,
    weights: Sequence[Decimal],
    rank: int,
    choices: int,
) -> Evaluation:
    distance = sum(
        (weight * map_.truncation_error(rank) for weight, map_ in zip(weights, maps, strict=True)),
        ZERO,
    )
    parameters = sum(map_.factor_parameters(rank) + map_.bias_parameters for map_ in maps)
    return evaluate(setting, parameters, distance, choices)


def fixed_rank(
    maps: Sequence[LinearMap],
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
        maps: the chain, in the order of application.
        setting: the shared numbers.
        rank: r, at least 1; beyond the largest useful rank only the count grows.
        assumptions: the caller's ledger.

    Returns:
        An upper bound, not clipped at 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    require_count("r", rank)
    check_maps(maps)
    evaluation = _at_rank(maps, setting, sensitivities(maps, setting), rank, choices=1)
    return conclude(
        theorem="compression.fixed_rank",
        title=f"Compression to rank {rank}, fixed in advance",
        value=evaluation.value,
        terms={"rank": rank, **evaluation.terms()},
        assumptions=assumptions,
        source=SOURCE,
        withhold_terms=True,
    )


def all_ranks(
    maps: Sequence[LinearMap],
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
    check_maps(maps)
    weights = sensitivities(maps, setting)
    largest = max(map_.largest_rank for map_ in maps)
    sweep = [
        _at_rank(maps, setting, weights, rank, choices=largest) for rank in range(1, largest + 1)
    ]
    best = min(range(largest), key=lambda index: sweep[index].value)
    return conclude(
        theorem="compression.all_ranks",
        title="Compression to the best rank, all ranks at once",
        value=sweep[best].value,
        terms={
            "rank": best + 1,
            **sweep[best].terms(),
            "largest_rank": largest,
            "sweep": [
                {
                    "rank": rank,
                    **evaluation.terms(),
                    "value": to_float(evaluation.value),
                    "log10_value": log10(evaluation.value),
                }
                for rank, evaluation in enumerate(sweep, start=1)
            ],
        },
        assumptions=assumptions,
        source=SOURCE,
        withhold_terms=True,
    )
