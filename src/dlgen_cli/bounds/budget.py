"""How many nats a risk can bear: what a code or a divergence may cost to be worth looking at."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dlgen_cli.records import Bound

_TERMS = ("kl_nats", "bits")


def affordable_nats(errors: int, examples: int, delta: float, risk: float) -> float:
    """The nats at which a bound in kl form reaches a risk, about.

    ``m kl(errors/m || risk) - ln(1/delta)``, at least 0. An estimate: a bound pays a few nats more,
    and Occam's exact tail a few less.

    Args:
        errors: on the sample, from 0 to ``examples``.
        examples: m, at least 1.
        delta: failure probability in (0, 1).
        risk: in (0, 1).
    """
    share = errors / examples
    if share >= risk:
        return 0.0
    first = share * math.log(share / risk) if share else 0.0
    divergence = first + (1 - share) * math.log((1 - share) / (1 - risk))
    return max(0.0, examples * divergence - math.log(1 / delta))


def cheapest(bounds: Iterable[Bound]) -> tuple[str, float] | None:
    """The theorem that describes the network in the fewest nats, and these.

    Returns:
        None where no bound has a divergence or a code length.
    """
    found = [
        (bound.theorem, _nats(name, bound.terms[name]))
        for bound in bounds
        for name in _TERMS
        if isinstance(bound.terms.get(name), int | float)
    ]
    return min(found, key=lambda one: one[1], default=None)


def _nats(name: str, value: float) -> float:
    return value * math.log(2) if name == "bits" else value
