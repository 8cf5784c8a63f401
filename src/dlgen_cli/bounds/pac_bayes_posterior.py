"""The risk of a trained Gaussian predictor: general means and deviations, PAC-Bayes in kl form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import ONE, ZERO, share_of, to_float, upward, with_logarithm
from dlgen_cli.bounds.concentration import error_rate
from dlgen_cli.bounds.derivations.pac_bayes import risk_of_posterior
from dlgen_cli.bounds.gibbs_risk import SOURCE, DrawnErrors, IntegratedRisk, require_deltas
from dlgen_cli.bounds.maurer import Moment, maurer_risk, moment_terms, moment_upper, read_moment
from dlgen_cli.bounds.pac_bayes import MADE_OF
from dlgen_cli.bounds.ranges import require_delta, require_examples, require_nonnegative
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Theorem
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Assumption, Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """A Gaussian ``Q`` against the Gaussian prior ``P``, and its risk on the sample.

    ``KL(Q || P) = 1/2 sum_i (mu_i - theta_i)^2 / t_i^2 + 1/2 (tr R - p - ln det R)``, with the
    prior ``N(theta, diag(t^2))`` and R the posterior's covariance in units of the prior's.

    Attributes:
        name: what tells it from the others.
        distance_nats_upper: the first sum, at least 0.
        spread_nats_upper: the second, at least 0; 0 where both covariances are the same.
        risk: the errors of its draws, or what an integral gave.
    """

    name: str
    distance_nats_upper: float
    spread_nats_upper: float
    risk: DrawnErrors | IntegratedRisk


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """One posterior with its two steps."""

    posterior: Posterior
    divergence: Decimal
    risk_upper: Decimal
    value: Decimal

    def row(self) -> dict[str, Any]:
        """This posterior as a row of the table."""
        one = self.posterior
        return {
            "name": one.name,
            "distance_nats_upper": one.distance_nats_upper,
            "spread_nats_upper": one.spread_nats_upper,
            **with_logarithm("kl_nats", self.divergence),
            **_risk_terms(one.risk),
            "empirical_risk_upper": to_float(self.risk_upper),
            "value": to_float(self.value),
        }


def _risk_terms(risk: DrawnErrors | IntegratedRisk) -> dict[str, Any]:
    if isinstance(risk, IntegratedRisk):
        return {"cells": risk.cells, "empirical_risk": risk.upper}
    return {
        "errors": risk.errors,
        "trials": risk.trials,
        "draws": risk.draws,
        "empirical_risk": to_float(error_rate(risk.errors, risk.trials)),
    }


@upward
def _evaluate(
    posterior: Posterior,
    m: int,
    delta: Decimal,
    delta_monte_carlo: Decimal,
    choice_nats: Decimal,
    moment: Moment,
) -> _Evaluated:
    divergence = (
        Decimal(posterior.distance_nats_upper) + Decimal(posterior.spread_nats_upper) + choice_nats
    )
    risk = posterior.risk
    if isinstance(risk, IntegratedRisk):
        risk_upper = Decimal(risk.upper)
    else:
        risk_upper = min(ONE, risk.risk_upper(delta_monte_carlo))
    value = maurer_risk(risk_upper, moment)(divergence, m, delta)
    return _Evaluated(posterior, divergence, risk_upper, value)


def posterior_risk(
    posteriors: Sequence[Posterior],
    m: int,
    delta: float,
    delta_monte_carlo: float = 0.0,
    *,
    choice_nats: float = 0.0,
    assumptions: Sequence[Assumption] = (),
    moment: Moment = moment_upper,
) -> Bound:
    """Bound the risk of the best of some posteriors with probability 1 - delta - delta_monte_carlo.

    ``kl^-1( L_S(Q) | (KL + ln(xi(m) / delta)) / m )``, with an upper end of ``L_S(Q)`` in its
    place: `IntegratedRisk`, or `DrawnErrors.risk_upper` at ``delta_monte_carlo / K``. The theorem
    holds for all posteriors at once, so a choice among K of them costs nothing but the Monte Carlo
    step. A choice among priors is a mixture of them: ``KL(Q || sum_g w_g P_g) <= KL(Q || P_g) +
    ln(1/w_g)``, and that logarithm is ``choice_nats``.

    Source: `dlgen_cli.bounds.maurer.maurer_risk`; Langford and Caruana 2001, "(Not) bounding
    the true error", NeurIPS 14, for the Monte Carlo step; Dziugaite and Roy 2017,
    https://arxiv.org/abs/1703.11008, for minimizing such a bound.

    Assumes: the priors and the weights of their mixture fixed before the sample; 0-1 loss; i.i.d.
    examples; draws of weights independent of each other and of everything else.

    Args:
        posteriors: K >= 1, all against the same mixture of priors.
        m: examples of the bound's sample, at least 2; none of them shaped the prior.
        delta: failure probability of the theorem, in (0, 1).
        delta_monte_carlo: failure probability of the Monte Carlo step, in (0, 1); 0 where all
            risks were integrated, for there is no such step.
        choice_nats: ``ln(1/w_g)`` of the prior that was chosen, rounded upward, at least 0.
        assumptions: the caller's ledger.
        moment: xi.

    Returns:
        An upper bound on the risk of the random predictor itself, not on the gap; at most 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    if not posteriors:
        raise UsageError("No posterior was given; at least one was expected.")
    for one in posteriors:
        require_nonnegative(f"the distance of {one.name}", one.distance_nats_upper)
        require_nonnegative(f"the spread of {one.name}", one.spread_nats_upper)
    require_nonnegative("choice_nats", choice_nats)
    require_examples(m)
    is_drawn = any(isinstance(one.risk, DrawnErrors) for one in posteriors)
    if is_drawn or delta_monte_carlo:
        require_deltas(delta, delta_monte_carlo)
    require_delta(delta)
    part = share_of(Decimal(delta_monte_carlo), len(posteriors)) if is_drawn else ZERO
    evaluated = [
        _evaluate(one, m, Decimal(delta), part, Decimal(choice_nats), moment) for one in posteriors
    ]
    best = min(evaluated, key=lambda one: one.value)
    chosen = best.row()
    del chosen["value"]
    return POSTERIOR.conclude(
        value=best.value,
        terms={
            "bounded": "risk",
            **chosen,
            "choice_nats": choice_nats,
            "examples": m,
            "delta": delta,
            **({"delta_monte_carlo": delta_monte_carlo} if is_drawn else {}),
            **moment_terms(moment, m),
            "posteriors": [one.row() for one in evaluated],
        },
        assumptions=assumptions,
    )


def posterior_name(shrink: float) -> str:
    """What a posterior is called whose mean went ``shrink`` times its way from the prior's."""
    return "as trained" if shrink == 1 else f"shrink {float(shrink)}"


def _read_risk(row: Fields) -> DrawnErrors | IntegratedRisk:
    if "cells" in row.values:
        return IntegratedRisk(upper=row.number("empirical_risk"), cells=row.count("cells"))
    return DrawnErrors(
        draws=row.count("draws"), trials=row.count("trials"), errors=row.count("errors")
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    posteriors = [
        Posterior(
            name=row.text("name"),
            distance_nats_upper=row.number("distance_nats_upper"),
            spread_nats_upper=row.number("spread_nats_upper"),
            risk=_read_risk(row),
        )
        for row in terms.rows("posteriors")
    ]
    return posterior_risk(
        posteriors,
        terms.count("examples"),
        delta,
        terms.optional_number("delta_monte_carlo") or 0.0,
        choice_nats=terms.number("choice_nats"),
        assumptions=lines,
        moment=read_moment(terms),
    )


POSTERIOR = Theorem(
    name="pac_bayes.posterior",
    family="pac_bayes",
    title="Risk of the trained random predictor Q, PAC-Bayes in kl form",
    speaks_of="the risk of the random predictor Q, not of the network itself",
    source=SOURCE,
    evaluate=posterior_risk,
    read_back=_read_back,
    made_of=MADE_OF,
    sample="part",
    derive=risk_of_posterior,
    contradicted_by="any",
)
