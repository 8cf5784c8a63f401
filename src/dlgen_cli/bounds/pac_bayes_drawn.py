"""The risk of one network that was drawn from a posterior: PAC-Bayes without the mean over Q."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import ZERO, to_float, upward
from dlgen_cli.bounds.concentration import error_rate, kl_inverse_upper, require_errors
from dlgen_cli.bounds.derivations.pac_bayes import risk_of_drawn
from dlgen_cli.bounds.maurer import moment_terms, moment_upper
from dlgen_cli.bounds.ranges import (
    require_delta,
    require_examples,
    require_finite,
    require_nonnegative,
)
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Part, Theorem
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Assumption, Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnNetwork:
    """One network h that was drawn from Q.

    Attributes:
        name: what tells it from the others.
        log_density_ratio_nats: upper bound on ``ln (dQ/dP)(h)``; it may be below 0.
        errors: wrongly classified examples of the sample.
        seed: of its draw, in hexadecimal, see `draw_seed`.
    """

    name: str
    log_density_ratio_nats: float
    errors: int
    seed: str = ""


def draw_seed(model_sha256: str, posterior_sha256: str) -> str:
    """The seed of the one draw of a posterior: no choice is left.

    Args:
        model_sha256: of the file of the posterior's mean, in hexadecimal.
        posterior_sha256: of the file of its deviations.

    Returns:
        A SHA-256 digest in hexadecimal.
    """
    text = f"dlgen/drawn network/1/{model_sha256}/{posterior_sha256}"
    return hashlib.sha256(text.encode()).hexdigest()


@upward
def _exponent(drawn: DrawnNetwork, count: int, m: int, delta: Decimal, choice: Decimal) -> Decimal:
    nats = Decimal(drawn.log_density_ratio_nats) + choice + (moment_upper(m) * count / delta).ln()
    return max(ZERO, nats / m)


def drawn_risk(
    networks: Sequence[DrawnNetwork],
    m: int,
    delta: float,
    *,
    choice_nats: float = 0.0,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the risk of the best of K drawn networks with probability 1 - delta.

    ``kl^-1( L_S(h) | (ln (dQ/dP)(h) + ln(K xi(m) / delta)) / m )``: the probability is that over
    the sample and the draws. A choice among priors is a mixture of them:
    ``dQ/d(sum_g w_g P_g) <= (dQ/dP_g) / w_g``, and ``ln(1/w_g)`` is ``choice_nats``.

    Source: Rivasplata, Kuzborskij, Szepesvari and Shawe-Taylor 2020, "PAC-Bayes analysis beyond the
    usual bounds", https://arxiv.org/abs/2006.13057; Viallard, Germain, Habrard and Morvant 2021,
    https://arxiv.org/abs/2102.08649.

    Assumes: the priors and the weights of their mixture fixed before the sample; K and the seeds
    of the draws fixed before their results; 0-1 loss; i.i.d. examples.

    Args:
        networks: K >= 1, each drawn from the same Q independently of the sample given Q.
        m: examples of the bound's sample, at least 2; none of them shaped the prior.
        delta: failure probability in (0, 1).
        choice_nats: ``ln(1/w_g)`` of the prior that was chosen, rounded upward, at least 0.
        assumptions: the caller's ledger.

    Returns:
        An upper bound on the risk of the network named in the terms; at most 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    if not networks:
        raise UsageError("No drawn network was given; at least one was expected.")
    require_examples(m)
    require_delta(delta)
    require_nonnegative("choice_nats", choice_nats)
    for one in networks:
        require_finite(f"the density of {one.name}", one.log_density_ratio_nats)
        require_errors(one.errors, m)
    rows: list[tuple[Decimal, dict[str, Any]]] = []
    for one in networks:
        exponent = _exponent(one, len(networks), m, Decimal(delta), Decimal(choice_nats))
        value = kl_inverse_upper(error_rate(one.errors, m), exponent)
        row = {
            "name": one.name,
            "log_density_ratio_nats": one.log_density_ratio_nats,
            "errors": one.errors,
            "seed": one.seed,
            "empirical_risk": to_float(error_rate(one.errors, m)),
        }
        rows.append((value, row))
    value, chosen = min(rows, key=lambda row: row[0])
    return DRAWN.conclude(
        value=value,
        terms={
            "bounded": "risk",
            **chosen,
            "choice_nats": choice_nats,
            "examples": m,
            "delta": delta,
            **moment_terms(moment_upper, m),
            "networks": [{**row, "value": to_float(found)} for found, row in rows],
        },
        assumptions=assumptions,
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    networks = [
        DrawnNetwork(
            name=row.text("name"),
            log_density_ratio_nats=row.number("log_density_ratio_nats"),
            errors=row.count("errors"),
            seed=row.text("seed"),
        )
        for row in terms.rows("networks")
    ]
    choice_nats, m = terms.number("choice_nats"), terms.count("examples")
    return drawn_risk(networks, m, delta, choice_nats=choice_nats, assumptions=lines)


DRAWN = Theorem(
    name="pac_bayes.drawn",
    family="pac_bayes",
    title="Risk of one network drawn from the trained Gaussian",
    speaks_of="the risk of the one network that was drawn and written",
    source=(
        "Rivasplata and others 2020, https://arxiv.org/abs/2006.13057; Viallard and others 2021, "
        "https://arxiv.org/abs/2102.08649; Maurer 2004 for the moment"
    ),
    evaluate=drawn_risk,
    read_back=_read_back,
    made_of=(
        Part(term="log_density_ratio_nats", phrase="ln dQ/dP {} nats"),
        Part(term="empirical_risk", phrase="risk on the sample {}"),
        Part(term="examples", phrase="{} examples", kind="count"),
    ),
    sample="part",
    derive=risk_of_drawn,
    contradicted_by="any",
)
