"""An upper limit on the mean of [0, 1] variables: the wealth of bets that it is smaller.

A player who believes that the mean is below p starts with 1 and, before each of n independent
losses ``X_i`` of mean p, stakes a share c of what may be staked: the wealth is multiplied by
``(1 - c) + c (1 - X_i) / (1 - p)``, which is at least 0 and has the mean 1. Let J players have
``c = 1, 1/2, 1/4, ..`` and let ``K(p)`` be their mean wealth in the end. ``E K(p) = 1`` at the true
mean, and so ``K(p) < 1/delta`` there with probability 1 - delta (Markov). Every factor rises with
p: what is not refuted is an interval, and its upper end is the limit.

Where the variance is small, a small stake is the wrong one and a large one wins: the limit is near
that of Bernstein's inequality with the variance known. The order of the losses does not matter.

Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting",
JRSS B 86(1), https://doi.org/10.1093/jrsssb/qkad009; here with bets that are fixed and mixed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction

from dlgen_cli.bounds.arithmetic import ONE, UPWARD, ZERO
from dlgen_cli.bounds.concentration import MOST_TRIALS
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.errors import UsageError

#: Losses are rounded up to a multiple of 1/LEVELS.
LEVELS = 4096
_PROOF = Context(prec=45, Emax=MAX_EMAX, Emin=MIN_EMIN)
#: Covers, for each loss, the rounding of `_PROOF` in the logarithm of a wealth.
_MARGIN = Decimal("1e-38")
#: ``-ln(1 - p)`` beyond which the limit is 1: no float lies between.
_LARGEST_EXPONENT = 90.0
_MOST_STEPS = 200


def loss_counts(losses: Mapping[Fraction, int] | Mapping[float, int]) -> dict[int, int]:
    """How often each loss occurs, rounded up to multiples of 1/`LEVELS`.

    Args:
        losses: how often each occurs, all in [0, 1].

    Returns:
        Counts by ``ceil(loss * LEVELS)``, ascending.

    Raises:
        UsageError: a loss is outside [0, 1].
    """
    counts: Counter[int] = Counter()
    for loss, count in losses.items():
        if not 0 <= loss <= 1:
            raise UsageError(f"A loss is {loss}; numbers from 0 to 1 were expected.")
        counts[math.ceil(loss * LEVELS)] += count  # a power of two: the product is exact
    return dict(sorted(counts.items()))


def read_losses(terms: Fields) -> dict[int, int]:
    """Counts by level, from the rows ``loss_upper`` and ``count`` of the term ``losses``."""
    rows = terms.rows("losses")
    return {int(row.number("loss_upper") * LEVELS): row.count("count") for row in rows}


def stakes(n: int) -> list[float]:
    """The shares c of the players: ``2^-j`` down to about ``1/sqrt(n)``, whatever the losses."""
    return [2.0**-j for j in range(2 + n.bit_length() // 2)]


def betting_mean_upper(counts: Mapping[int, int], nats: Decimal) -> Decimal:
    """``sup { p : K(p) < e^nats }``, rounded upward.

    Newton's method from above stays above, for `_Wealth` is convex; its end is then proven.

    Args:
        counts: n independent losses by level, see `loss_counts`.
        nats: ``ln(1/delta)``, rounded upward, above 0.

    Returns:
        In (0, 1]; holds with probability 1 - delta for the mean of the exact losses too.

    Raises:
        UsageError: there is no loss, or a level or a count is out of its range.
    """
    n = sum(counts.values())
    if not 1 <= n <= MOST_TRIALS or min(counts.values()) < 1:
        raise UsageError(f"The number of losses is {n}; 1 to {MOST_TRIALS:.0e} was expected.")
    if not 0 <= min(counts) <= max(counts) <= LEVELS:
        raise UsageError(
            f"Levels of losses are from {min(counts)} to {max(counts)}; 0 to {LEVELS}."
        )
    wealth = _Wealth(counts)
    exponent = _LARGEST_EXPONENT
    if wealth.estimate(exponent)[0] <= nats:
        return ONE
    for _ in range(_MOST_STEPS):
        found, slope = wealth.estimate(exponent)
        step = (found - float(nats)) / slope
        exponent -= step
        if step <= 1e-14 * exponent:
            break
    widening = 1e-13
    while exponent < _LARGEST_EXPONENT:
        with localcontext(_PROOF):
            complement = (-Decimal(exponent)).exp()
        if wealth.lower(complement) >= nats:
            return UPWARD.subtract(ONE, complement)
        exponent *= 1 + widening
        widening *= 10
    return ONE


class _Wealth:
    """``ln K`` as a function of the exponent ``L = -ln(1 - p)``, in which it rises and is convex.

    A factor is ``a + b e^L`` with a and b of at least 0: its logarithm is convex in L, and so is
    the logarithm of a sum of exponentials of convex functions.
    """

    def __init__(self, counts: Mapping[int, int]) -> None:
        self.counts = counts
        self.stakes = stakes(sum(counts.values()))

    def estimate(self, exponent: float) -> tuple[float, float]:
        """``ln K`` and its derivative, in floats; 0 of a player who has lost all is left out."""
        ratio, found = math.exp(exponent), []
        for stake in self.stakes:
            total = slope = 0.0
            for level, count in self.counts.items():
                won = stake * (LEVELS - level) / LEVELS * ratio
                factor = (1 - stake) + won
                total += count * math.log(factor) if factor else -math.inf
                slope += count * won / factor if factor else 0.0
            found.append((total, slope))
        largest = max(total for total, _ in found)
        if largest == -math.inf:
            return largest, 1.0
        weights = [math.exp(total - largest) for total, _ in found]
        whole = math.fsum(weights)
        slopes = (weight * slope for weight, (_, slope) in zip(weights, found, strict=True))
        return largest + math.log(whole / len(found)), math.fsum(slopes) / whole

    def lower(self, complement: Decimal) -> Decimal:
        """A lower bound on ``ln K`` at ``1 - p``."""
        with localcontext(_PROOF):
            whole = sum(
                (self._of_one(Decimal(stake) / complement, stake) for stake in self.stakes), ZERO
            )
            if whole == 0:
                return -Decimal("Infinity")
            margin = _MARGIN * (1 + sum(self.counts.values()))
            return (whole / len(self.stakes)).ln() - margin

    def _of_one(self, ratio: Decimal, stake: float) -> Decimal:
        """The wealth of one player; ``ratio`` is the stake over ``1 - p``."""
        kept, wealth = 1 - Decimal(stake), ONE
        for level, count in self.counts.items():
            wealth *= (kept + ratio * (LEVELS - level) / LEVELS) ** count
        return wealth
