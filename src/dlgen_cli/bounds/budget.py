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
    nats = examples * _divergence(errors / examples, risk) - math.log(1 / delta)
    return max(0.0, nats)


def examples_needed(nats: float, error: float, delta: float, risk: float) -> float:
    """How many examples pay for so many nats at a training error, about; infinity for none.

    Args:
        nats: of the code or the divergence, at least 0.
        error: share of the examples, in [0, 1].
        delta: failure probability in (0, 1).
        risk: in (0, 1), where the bound shall be.
    """
    each = _divergence(error, risk)
    return (nats + math.log(1 / delta)) / each if each else math.inf


def _divergence(error: float, risk: float) -> float:
    """``kl(error || risk)``; 0 where the error is not below the risk."""
    if error >= risk:
        return 0.0
    first = error * math.log(error / risk) if error else 0.0
    return first + (1 - error) * math.log((1 - error) / (1 - risk))


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
