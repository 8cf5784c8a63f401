"""The risk of a Gaussian predictor: PAC-Bayes in kl form, with the sample's risk by Monte Carlo.

Two steps, each with its own failure probability. The risk of ``Q = N(theta, sigma^2 I)`` on the
sample, ``L_S(Q)``, is a mean over weights; it is bounded from n independent draws of weights.
Then ``kl( L_S(Q) || L_D(Q) ) <= (KL + ln(2 sqrt(m)/delta)) / m`` bounds the risk on the
population.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import ONE, log_inverse, share_of, to_float, upward
from dlgen_cli.bounds.assumptions import conclude
from dlgen_cli.bounds.concentration import (
    binomial_tail_inverse_upper,
    error_rate,
    kl_inverse_upper,
    require_errors,
)
from dlgen_cli.bounds.gaussian_kl import to_uniform_mixture
from dlgen_cli.bounds.pac_bayes import (
    Anchor,
    Gap,
    Scored,
    anchor_rows,
    check_anchors,
    equal_anchors,
    score_sigma,
    too_few_examples,
)
from dlgen_cli.bounds.ranges import require_count, require_delta
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Assumption, Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class GibbsSample:
    """Errors of networks drawn from Q, counted on the sample.

    Every draw of weights is scored on the same number of examples: on one, or on some, that are
    drawn at random for it alone, or on the whole sample. In each case the risks of the draws are
    independent, in [0, 1], and have the mean ``L_S(Q)``.

    Attributes:
        sigma: standard deviation of Q, above 0.
        draws: n, independent draws of weights, at least 1.
        trials: examples scored in all, a multiple of ``draws``.
        errors: of those, wrongly classified.
    """

    sigma: float
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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One sigma with its two steps."""

    sample: GibbsSample
    risk_upper: Decimal
    scored: Scored

    def row(self) -> dict[str, Any]:
        """This sigma as a row of the table over sigmas."""
        return {
            **self.scored.row(),
            "errors": self.sample.errors,
            "trials": self.sample.trials,
            "draws": self.sample.draws,
            "empirical_risk": to_float(error_rate(self.sample.errors, self.sample.trials)),
            "empirical_risk_upper": to_float(self.risk_upper),
        }


def maurer_risk(empirical_upper: Decimal) -> Gap:
    """Bound ``L_D(Q)`` by ``kl^-1( L_S(Q) | (KL + ln(2 sqrt(m)/delta)) / m )``.

    Source: Maurer 2004, "A note on the PAC Bayesian theorem", Theorem 5,
    https://arxiv.org/abs/cs/0411099

    Args:
        empirical_upper: bounds ``L_S(Q)``, in [0, 1].

    Returns:
        The bound as a function of KL (nats, an upper bound), m (at least 8) and delta.
    """

    @upward
    def risk(divergence: Decimal, m: int, delta: Decimal) -> Decimal:
        nats = divergence + (2 * Decimal(m).sqrt() / delta).ln()
        return kl_inverse_upper(empirical_upper, nats / m)

    return risk


@upward
def _evaluate(
    anchors: Sequence[Anchor],
    sample: GibbsSample,
    m: int,
    delta: Decimal,
    delta_monte_carlo: Decimal,
) -> _Candidate:
    """One sigma, at the shares of both failure probabilities that are left for it."""
    risk_upper = min(ONE, sample.risk_upper(delta_monte_carlo))
    deltas = (delta, share_of(delta, len(anchors)))
    scored = score_sigma(
        anchors, sample.sigma, m, deltas, maurer_risk(risk_upper), to_uniform_mixture
    )
    return _Candidate(sample, risk_upper, scored)


def kl_risk(
    anchors: Sequence[Anchor],
    samples: Sequence[GibbsSample],
    m: int,
    delta: float,
    delta_monte_carlo: float,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the risk of Q with probability ``1 - delta - delta_monte_carlo``.

    ``kl^-1( L_S(Q) | (KL + ln(2 sqrt(m) S / delta)) / m )`` for the best of S values of sigma,
    with KL to the uniform mixture of the anchors' Gaussians and `GibbsSample.risk_upper` at
    ``delta_monte_carlo / S`` in the place of ``L_S(Q)``. Needs m >= 8; below, not applicable.

    Source: `maurer_risk`; Langford and Caruana 2001, "(Not) bounding the true error", NeurIPS 14,
    for the Monte Carlo step; Hershey and Olsen 2007 for the mixture.

    Assumes: anchors and sigmas fixed before the sample; 0-1 loss; i.i.d. examples; draws of
    weights independent of each other and of everything else.

    Args:
        anchors: at least one. Where sigma differs by tensor in proportion to a scale, their
            squared distances are those of the weights divided by the scale.
        samples: one for each sigma, at least one.
        m: examples of the bound's sample, at least 2; none of them trained an anchor.
        delta: failure probability of the theorem, in (0, 1).
        delta_monte_carlo: failure probability of the Monte Carlo step, in (0, 1).
        assumptions: the caller's ledger.

    Returns:
        An upper bound on the risk of the random predictor Q itself, not on the gap; at most 1. Not
        applicable where an anchor equals the checkpoint.

    Raises:
        UsageError: a number outside its range, named.
    """
    check_anchors(anchors, [sample.sigma for sample in samples], m, delta)
    require_delta(delta_monte_carlo)
    if delta + delta_monte_carlo >= 1:
        raise UsageError(
            f"delta {delta} and that of the Monte Carlo step {delta_monte_carlo} add up to 1 or "
            "more; a failure probability below 1 was expected."
        )
    whole, monte_carlo = (
        share_of(Decimal(one), len(samples)) for one in (delta, delta_monte_carlo)
    )
    candidates = [_evaluate(anchors, sample, m, whole, monte_carlo) for sample in samples]
    best = min(candidates, key=lambda one: one.scored.value)
    chosen = best.row()
    del chosen["value"], chosen["log10_value"]
    return conclude(
        theorem="pac_bayes.kl",
        title="Risk of the random predictor Q, PAC-Bayes in kl form",
        value=best.scored.value,
        terms={
            "bounded": "risk",
            **chosen,
            "examples": m,
            "delta": delta,
            "delta_monte_carlo": delta_monte_carlo,
            "anchors": anchor_rows(anchors, best.scored),
            "sigmas": [one.row() for one in candidates],
        },
        assumptions=[*assumptions, *equal_anchors(anchors), *too_few_examples(m)],
        source=(
            "Maurer 2004, Theorem 5, https://arxiv.org/abs/cs/0411099; Langford and Caruana 2001 "
            "for the Monte Carlo step"
        ),
    )
