"""The risk of a random predictor on its sample, from independent draws, and then on the population.

Two steps, each with its own failure probability. The risk of ``Q`` on the sample, ``L_S(Q)``, is
a mean over weights; it is bounded from n independent draws of weights. Then
``kl( L_S(Q) || L_D(Q) ) <= (KL + ln(xi(m)/delta)) / m`` bounds the risk on the population.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import log_inverse, upward
from dlgen_cli.bounds.concentration import (
    binomial_tail_inverse_upper,
    error_rate,
    kl_inverse_upper,
    require_errors,
)
from dlgen_cli.bounds.ranges import require_count, require_delta, require_probability
from dlgen_cli.errors import UsageError

SOURCE = (
    "Maurer 2004, Theorem 5, https://arxiv.org/abs/cs/0411099; Langford and Caruana 2001 "
    "for the Monte Carlo step"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnErrors:
    """Errors of predictors drawn from Q, counted on the sample.

    Every draw of weights is scored on the same number of examples: on one, or on some, that are
    drawn at random for it alone, or on the whole sample. In each case the risks of the draws are
    independent, in [0, 1], and have the mean ``L_S(Q)``.

    Attributes:
        draws: n, independent draws of weights, at least 1.
        trials: examples scored in all, a multiple of ``draws``.
        errors: of those, wrongly classified.
    """

    draws: int
    trials: int
    errors: int

    def __post_init__(self) -> None:
        """Refuse counts that contradict each other.

        Raises:
            UsageError: naming the count.
        """
        require_count("the number of draws", self.draws)
        require_errors(self.errors, self.trials)
        if self.trials % self.draws:
            raise UsageError(
                f"{self.trials} examples were scored in {self.draws} draws of weights; the same "
                "number for each draw was expected."
            )

    @upward
    def risk_upper(self, delta: Decimal) -> Decimal:
        """Bound ``L_S(Q)`` with probability 1 - delta.

        Where each draw is scored on one example, the errors are binomial and their exact tail
        is inverted. Else the draws' risks are in [0, 1], their mean obeys Chernoff's bound for n
        draws (Langford and Caruana 2001), and examples beyond the first of a draw do not count.

        Args:
            delta: failure probability in (0, 1).

        Returns:
            In (0, 1], rounded upward.
        """
        nats = log_inverse(delta).next_plus()
        if self.trials == self.draws:
            return binomial_tail_inverse_upper(self.errors, self.draws, -nats)
        return kl_inverse_upper(error_rate(self.errors, self.trials), nats / self.draws)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegratedRisk:
    """An upper end of ``L_S(Q)`` that an integral gave, without draws.

    Attributes:
        upper: in [0, 1].
        cells: of the quadrature, at least 2.
    """

    upper: float
    cells: int

    def __post_init__(self) -> None:
        """Refuse numbers out of their range.

        Raises:
            UsageError: naming the number.
        """
        require_probability("the risk on the sample", self.upper)
        require_count("the number of cells", self.cells)


def require_deltas(delta: float, delta_monte_carlo: float) -> None:
    """Refuse failure probabilities of the two steps that leave nothing.

    Raises:
        UsageError: one is not in (0, 1), or they add up to 1 or more.
    """
    require_delta(delta)
    require_delta(delta_monte_carlo)
    if delta + delta_monte_carlo >= 1:
        raise UsageError(
            f"delta {delta} and that of the Monte Carlo step {delta_monte_carlo} add up to 1 or "
            "more; a failure probability below 1 was expected."
        )
