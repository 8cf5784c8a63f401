"""The mean of a loss in [0, 1] on examples never seen: the limit of a bet that it is smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import log_inverse, to_float, upward
from dlgen_cli.bounds.betting import LEVELS, betting_mean_upper, read_losses
from dlgen_cli.bounds.derivations.risks import mean_by_betting
from dlgen_cli.bounds.ranges import require_delta, require_nonnegative
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Part, Theorem
from dlgen_cli.records import Assumption, Bound


@upward
def betting(
    counts: Mapping[int, int],
    delta: float,
    *,
    union_nats: float = 0.0,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the mean of a loss in [0, 1] with probability 1 - delta.

    `dlgen_cli.bounds.betting.betting_mean_upper` at ``ln(1/delta) + union_nats``.

    Source: Waudby-Smith and Ramdas 2024, https://doi.org/10.1093/jrsssb/qkad009, with fixed bets.

    Assumes: the predictor was fixed before the n losses were looked at, or is one of a list whose
    choice is paid for; the losses are independent and of the same mean.

    Args:
        counts: losses by level, from `dlgen_cli.bounds.betting.loss_counts`.
        delta: failure probability in (0, 1).
        union_nats: nats that are paid for a choice, rounded upward, at least 0: the logarithm of
            the number of predictors, or the length of the code of this one.
        assumptions: the caller's ledger.

    Returns:
        An upper bound on the risk itself, not on the gap; at most 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    require_delta(delta)
    require_nonnegative("union_nats", union_nats)
    nats = (log_inverse(Decimal(delta)) + Decimal(union_nats)).next_plus()
    value = betting_mean_upper(counts, nats)
    examples = sum(counts.values())
    mean = Decimal(sum(level * count for level, count in counts.items())) / LEVELS / examples
    return BETTING.conclude(
        value=value,
        terms={
            "bounded": "risk",
            "examples": examples,
            "union_nats": union_nats,
            "nats": to_float(nats),
            "delta": delta,
            "empirical_risk": to_float(mean),
            "losses": [
                {"loss_upper": level / LEVELS, "count": count} for level, count in counts.items()
            ],
        },
        assumptions=assumptions,
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    union = terms.number("union_nats")
    return betting(read_losses(terms), delta, union_nats=union, assumptions=lines)


BETTING = Theorem(
    name="mean.betting",
    family="mean",
    title="Mean of a loss in [0, 1] on examples never seen, by betting",
    speaks_of="the mean loss of what was evaluated, on examples never seen",
    source=(
        "Waudby-Smith and Ramdas 2024, 'Estimating means of bounded random variables by betting', "
        "https://doi.org/10.1093/jrsssb/qkad009"
    ),
    evaluate=betting,
    read_back=_read_back,
    made_of=(
        Part(term="empirical_risk", phrase="mean loss {}"),
        Part(term="examples", phrase="{} examples", kind="count"),
    ),
    sample="apart",
    derive=mean_by_betting,
)
