"""The risk of a Gaussian predictor around a checkpoint, against anchors: PAC-Bayes in kl form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import ONE, share_of, to_float, upward
from dlgen_cli.bounds.concentration import error_rate
from dlgen_cli.bounds.derivations.pac_bayes import risk_around_anchors
from dlgen_cli.bounds.gaussian_kl import to_uniform_mixture
from dlgen_cli.bounds.gibbs_risk import SOURCE, DrawnErrors, require_deltas
from dlgen_cli.bounds.maurer import Moment, maurer_risk, moment_terms, moment_upper, read_moment
from dlgen_cli.bounds.pac_bayes import (
    MADE_OF,
    Anchor,
    Scored,
    anchor_rows,
    check_anchors,
    equal_anchors,
    read_anchors,
    score_sigma,
)
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Theorem
from dlgen_cli.records import Assumption, Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class GibbsSample(DrawnErrors):
    """Errors of networks drawn from Q, counted on the sample.

    Attributes:
        sigma: standard deviation of Q, above 0.
    """

    sigma: float


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


@upward
def _evaluate(
    anchors: Sequence[Anchor],
    sample: GibbsSample,
    m: int,
    delta: Decimal,
    delta_monte_carlo: Decimal,
    moment: Moment,
) -> _Candidate:
    """One sigma, at the shares of both failure probabilities that are left for it."""
    risk_upper = min(ONE, sample.risk_upper(delta_monte_carlo))
    deltas = (delta, share_of(delta, len(anchors)))
    scored = score_sigma(
        anchors, sample.sigma, m, deltas, maurer_risk(risk_upper, moment), to_uniform_mixture
    )
    return _Candidate(sample, risk_upper, scored)


def kl_risk(
    anchors: Sequence[Anchor],
    samples: Sequence[GibbsSample],
    m: int,
    delta: float,
    delta_monte_carlo: float,
    assumptions: Sequence[Assumption] = (),
    *,
    moment: Moment = moment_upper,
) -> Bound:
    """Bound the risk of Q with probability ``1 - delta - delta_monte_carlo``.

    ``kl^-1( L_S(Q) | (KL + ln(xi(m) S / delta)) / m )`` for the best of S values of sigma,
    with KL to the uniform mixture of the anchors' Gaussians and `GibbsSample.risk_upper` at
    ``delta_monte_carlo / S`` in the place of ``L_S(Q)``.

    Source: `dlgen_cli.bounds.maurer.maurer_risk`; Langford and Caruana 2001, "(Not) bounding
    the true error", NeurIPS 14, for the Monte Carlo step; Hershey and Olsen 2007 for the mixture.

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
        moment: xi.

    Returns:
        An upper bound on the risk of the random predictor Q itself, not on the gap; at most 1. Not
        applicable where an anchor equals the checkpoint.

    Raises:
        UsageError: a number outside its range, named.
    """
    check_anchors(anchors, [sample.sigma for sample in samples], m, delta)
    require_deltas(delta, delta_monte_carlo)
    whole, monte_carlo = (
        share_of(Decimal(one), len(samples)) for one in (delta, delta_monte_carlo)
    )
    candidates = [_evaluate(anchors, one, m, whole, monte_carlo, moment) for one in samples]
    best = min(candidates, key=lambda one: one.scored.value)
    chosen = best.row()
    del chosen["value"], chosen["log10_value"]
    return KL.conclude(
        value=best.scored.value,
        terms={
            "bounded": "risk",
            **chosen,
            "examples": m,
            "delta": delta,
            "delta_monte_carlo": delta_monte_carlo,
            **moment_terms(moment, m),
            "anchors": anchor_rows(anchors, best.scored),
            "sigmas": [one.row() for one in candidates],
        },
        assumptions=[*assumptions, *equal_anchors(anchors)],
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    samples = [
        GibbsSample(
            sigma=row.number("sigma"),
            draws=row.count("draws"),
            trials=row.count("trials"),
            errors=row.count("errors"),
        )
        for row in terms.rows("sigmas")
    ]
    return kl_risk(
        read_anchors(terms),
        samples,
        terms.count("examples"),
        delta,
        terms.number("delta_monte_carlo"),
        lines,
        moment=read_moment(terms),
    )


KL = Theorem(
    name="pac_bayes.kl",
    family="pac_bayes",
    title="Risk of the random predictor Q, PAC-Bayes in kl form",
    speaks_of="the risk of the random predictor Q, not of the network itself",
    source=SOURCE,
    evaluate=kl_risk,
    read_back=_read_back,
    made_of=MADE_OF,
    sample="part",
    derive=risk_around_anchors,
    contradicted_by="any",
)
