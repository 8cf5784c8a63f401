"""Maurer's theorem: from a KL divergence to a gap or to a risk.

For a mean q of m independent variables in [0, 1] of mean p, ``E e^(m kl(q || p)) <= xi(m)``, and
so with probability 1 - delta for all Q at once

    kl( L_S(Q) || L_D(Q) ) <= (KL(Q || P) + ln(xi(m) / delta)) / m.

Source: Maurer 2004, "A note on the PAC Bayesian theorem", https://arxiv.org/abs/cs/0411099.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import ONE, PI, to_float, upward
from dlgen_cli.bounds.concentration import kl_inverse_upper
from dlgen_cli.bounds.recorded_fields import Fields

#: The bound of one statement from KL (nats, an upper bound), m and its share of delta.
Gap = Callable[[Decimal, int, Decimal], Decimal]
#: An upper bound on ``E e^(m kl)`` from m.
Moment = Callable[[int], Decimal]


@upward
def moment_upper(m: int) -> Decimal:
    """``xi(m) = sum_k C(m,k) (k/m)^k (1 - k/m)^(m-k)``, rounded upward.

    The theorem's proof bounds the moment by that of m coins (by convexity), and for coins of any
    p in (0, 1) it is xi(m). Its closed form is ``(m!/m^m) sum_(k <= m) m^k/k!``, by Abel's identity
    ``sum_k C(m,k) (x + k)^k (y + m - k)^(m-k) = sum_k m!/k! (x + y + m)^k`` at x = y = 0.
    Ramanujan's ``e^m / 2 = sum_(k < m) m^k/k! + theta m^m/m!``, with theta in [1/3, 1/2] for all m,
    and ``m! <= sqrt(2 pi m) (m/e)^m e^(1/(12 m))`` give

        ``xi(m) = m! e^m / (2 m^m) + 1 - theta <= sqrt(pi m / 2) e^(1/(12 m)) + 2/3``.

    Source: Abel's identity in Riordan 1968, "Combinatorial Identities", section 1.5; Szego 1928,
    "Ueber einige von S. Ramanujan gestellte Aufgaben", and Watson 1929, "Theorems stated by
    Ramanujan (V)", for theta; Robbins 1955, "A remark on Stirling's formula".

    Args:
        m: at least 1.

    Returns:
        Above the exact sum by less than ``0.03/m``; below ``2 sqrt(m)`` from 2 on.
    """
    return (PI * m / 2).sqrt() * (ONE / (12 * m)).exp() + Decimal(2) / 3


@upward
def source_moment(m: int) -> Decimal:
    """``2 sqrt(m)``, in the place of `moment_upper` in Maurer's Theorem 5.

    Reports that do not tell their moment were evaluated with this one.
    """
    return 2 * Decimal(m).sqrt()


def moment_terms(moment: Moment, m: int) -> dict[str, Any]:
    """``moment_upper``, from which `read_moment` knows the form; nothing for the source's."""
    return {} if moment is source_moment else {"moment_upper": to_float(moment(m))}


def read_moment(terms: Fields) -> Moment:
    """The form that recorded terms were evaluated with."""
    return moment_upper if "moment_upper" in terms.values else source_moment


def pinsker_gap(moment: Moment = moment_upper) -> Gap:
    """Bound ``L_D(Q) - L_S(Q)`` by ``sqrt( (KL + ln(xi(m)/delta)) / (2m) )``, not clipped at 1.

    Source: the module's, relaxed by Pinsker's inequality.
    """

    @upward
    def gap(divergence: Decimal, m: int, delta: Decimal) -> Decimal:
        return ((divergence + (moment(m) / delta).ln()) / (2 * m)).sqrt()

    return gap


def maurer_risk(empirical_upper: Decimal, moment: Moment = moment_upper) -> Gap:
    """Bound ``L_D(Q)`` by ``kl^-1( L_S(Q) | (KL + ln(xi(m)/delta)) / m )``.

    Args:
        empirical_upper: bounds ``L_S(Q)``, in [0, 1].
        moment: xi.
    """

    @upward
    def risk(divergence: Decimal, m: int, delta: Decimal) -> Decimal:
        nats = divergence + (moment(m) / delta).ln()
        return kl_inverse_upper(empirical_upper, nats / m)

    return risk
