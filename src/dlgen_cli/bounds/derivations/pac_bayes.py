"""The lines of the PAC-Bayes bounds: divergence, price of the choices, and the inversion."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import UPWARD, upward
from dlgen_cli.bounds.concentration import (
    binomial_tail_inverse_upper,
    error_rate,
    kl_inverse_upper,
)
from dlgen_cli.bounds.derivations.derivation import Derivation, Step, read_number
from dlgen_cli.bounds.gaussian_kl import shifted
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import read_sides

#: Where there are more anchors, their divergences have no lines of their own.
_MOST_ANCHORS = 6


def _start(terms: Fields) -> Derivation:
    return Derivation({"m": terms.count("examples"), "δ": terms.number("delta")})


def _divergence(lines: Derivation, terms: Fields, combined: str) -> Decimal:
    """Lines for KL: of each anchor, and combined.

    Args:
        lines: so far.
        terms: as recorded.
        combined: the formula of one KL from those of the anchors; ``{all}`` is their list.
    """
    rows = list(terms.rows("anchors"))
    sigma = Decimal(terms.number("sigma"))
    lines.given("K", len(rows))
    lines.given("S", len(list(terms.rows("sigmas"))))
    lines.given("σ", sigma)
    divergence = read_number(terms, "kl_nats")
    if len(rows) > _MOST_ANCHORS:
        return lines.recorded("KL", f"of Q from the {len(rows)} anchors", divergence)
    for index, row in enumerate(rows, start=1):
        squared = Decimal(row.number("squared_distance_upper"))
        lines.given(f"‖θ − θ_{index}‖²", squared)
        lines.step(f"KL_{index}", f"{{‖θ − θ_{index}‖²}}/(2·{{σ}}²)", shifted(squared, sigma))
    if len(rows) == 1:
        return lines.step("KL", "{KL_1}", divergence)
    names = [f"{{KL_{index}}}" for index in range(1, len(rows) + 1)]
    if combined == "min":
        return lines.step("KL", f"min({', '.join(names)})", divergence)
    powers = " + ".join(f"e^(−{name})" for name in names)
    return lines.step("KL", f"−ln( (1/{{K}})·({powers}) )", divergence)


def _moment(lines: Derivation, terms: Fields) -> Decimal:
    """Maurer's moment; reports of older versions have ``2 sqrt(m)`` in its place."""
    m = terms.count("examples")
    if "moment_upper" not in terms.values:
        return lines.step("ξ", "2·√({m})", 2 * Decimal(m).sqrt(UPWARD))
    moment = Decimal(terms.number("moment_upper"))
    return lines.step("ξ", "√(π·{m}/2)·e^(1/(12·{m})) + 2/3", moment)


@upward
def gap_by_nearest_anchor(terms: Fields) -> Sequence[Step]:
    """``sqrt( (min_k KL_k + ln(2 m K S/delta)) / (2 (m - 1)) )``."""
    lines = _start(terms)
    divergence = _divergence(lines, terms, "min")
    m, delta = terms.count("examples"), Decimal(terms.number("delta"))
    count = 2 * m * len(terms.items("anchors")) * len(terms.items("sigmas"))
    price = lines.step("price", "ln(2·{m}·{K}·{S}/{δ})", (count / delta).ln())
    value = ((divergence + price) / (2 * (m - 1))).sqrt()
    lines.step("value", "√( ({KL} + {price}) / (2·({m} − 1)) )", value)
    return lines.steps


@upward
def gap_by_mixture(terms: Fields) -> Sequence[Step]:
    """``sqrt( (KL + ln(m S/delta)) / (2 (m - 1)) )``; older reports have ``2 m S``."""
    lines = _start(terms)
    divergence = _divergence(lines, terms, "mixture")
    m, delta = terms.count("examples"), Decimal(terms.number("delta"))
    sides = read_sides(terms)
    count = sides * m * len(terms.items("sigmas"))
    formula = "ln({m}·{S}/{δ})" if sides == 1 else "ln(2·{m}·{S}/{δ})"
    price = lines.step("price", formula, (count / delta).ln())
    value = ((divergence + price) / (2 * (m - 1))).sqrt()
    lines.step("value", "√( ({KL} + {price}) / (2·({m} − 1)) )", value)
    return lines.steps


@upward
def gap_by_pinsker(terms: Fields) -> Sequence[Step]:
    """``sqrt( (KL + ln(xi(m) S/delta)) / (2 m) )``."""
    lines = _start(terms)
    divergence = _divergence(lines, terms, "mixture")
    m, delta = terms.count("examples"), Decimal(terms.number("delta"))
    moment = _moment(lines, terms)
    price = (moment * len(terms.items("sigmas")) / delta).ln()
    lines.step("price", "ln({ξ}·{S}/{δ})", price)
    lines.step("value", "√( ({KL} + {price}) / (2·{m}) )", ((divergence + price) / (2 * m)).sqrt())
    return lines.steps


@upward
def risk_around_anchors(terms: Fields) -> Sequence[Step]:
    """``kl^-1( L_S(Q) | (KL + ln(xi(m) S/delta)) / m )``."""
    lines = _start(terms)
    divergence = _divergence(lines, terms, "mixture")
    risk = _sample_risk(lines, terms, len(terms.items("sigmas")), "{S}")
    _invert(lines, terms, divergence, risk, len(terms.items("sigmas")))
    return lines.steps


@upward
def risk_of_posterior(terms: Fields) -> Sequence[Step]:
    """``kl^-1( L_S(Q) | (KL + ln(xi(m)/delta)) / m )``."""
    lines = _start(terms)
    parts = ("distance_nats_upper", "spread_nats_upper", "choice_nats")
    moved, spread, choices = (Decimal(terms.number(name)) for name in parts)
    lines.recorded("moved", "½·Σ_i (μ_i − θ_i)²/t_i², how far the means went", moved)
    lines.recorded("spread", "½·(tr R − p − ln det R), how the spread changed", spread)
    lines.recorded("choices", "the choice among priors, in nats", choices)
    divergence = lines.step("KL", "{moved} + {spread} + {choices}", moved + spread + choices)
    count = len(terms.items("posteriors"))
    lines.given("K", count)
    risk = _sample_risk(lines, terms, count, "{K}")
    _invert(lines, terms, divergence, risk, 1)
    return lines.steps


def risk_of_drawn(terms: Fields) -> Sequence[Step]:
    """``kl^-1( L_S(h) | (ln (dQ/dP)(h) + choices + ln(K xi(m)/delta)) / m )``."""
    lines = _start(terms)
    ratio, choices = (
        Decimal(terms.number(name)) for name in ("log_density_ratio_nats", "choice_nats")
    )
    lines.recorded("ratio", "ln (dQ/dP)(h), of the network that was drawn", ratio)
    lines.recorded("choices", "the choice among priors, in nats", choices)
    errors, m, count = terms.count("errors"), terms.count("examples"), len(terms.items("networks"))
    lines.given("errors", errors)
    lines.given("K", count)
    risk = lines.step("L_S", "{errors}/{m}", error_rate(errors, m))
    moment = _moment(lines, terms)
    price = (moment * count / Decimal(terms.number("delta"))).ln()
    lines.step("price", "ln({ξ}·{K}/{δ})", price)
    exponent = max(Decimal(0), (ratio + choices + price) / m)
    lines.step("c", "max(0, ({ratio} + {choices} + {price})/{m})", exponent)
    lines.step("value", "kl⁻¹( {L_S} | {c} )", kl_inverse_upper(risk, exponent))
    return lines.steps


def _sample_risk(lines: Derivation, terms: Fields, shares: int, symbol: str) -> Decimal:
    """The limit on the error of Q on the sample."""
    recorded = Decimal(terms.number("empirical_risk_upper"))
    if terms.get("draws") is None:
        return lines.recorded("L̂", "upper limit on the error of Q on the sample", recorded)
    errors, trials, draws = (terms.count(name) for name in ("errors", "trials", "draws"))
    share = Decimal(terms.number("delta_monte_carlo"))
    for name, value in (("errors", errors), ("trials", trials), ("draws", draws), ("δ′", share)):
        lines.given(name, Decimal(value))
    nats = (shares / share).ln().next_plus()
    if trials == draws:
        limit = binomial_tail_inverse_upper(errors, draws, -nats)
        formula = f"sup{{{{ p : P(Bin({{draws}}, p) ≤ {{errors}}) ≥ {{δ′}}/{symbol} }}}}"
    else:
        limit = kl_inverse_upper(error_rate(errors, trials), nats / draws)
        formula = f"kl⁻¹( {{errors}}/{{trials}} | ln({symbol}/{{δ′}})/{{draws}} )"
    return lines.step("L̂", formula, min(Decimal(1), limit))


def _invert(
    lines: Derivation, terms: Fields, divergence: Decimal, risk: Decimal, shares: int
) -> None:
    m, delta = terms.count("examples"), Decimal(terms.number("delta"))
    moment = _moment(lines, terms)
    price = (moment * shares / delta).ln()
    lines.step("price", "ln({ξ}·{S}/{δ})" if shares > 1 else "ln({ξ}/{δ})", price)
    exponent = lines.step("c", "({KL} + {price})/{m}", (divergence + price) / m)
    lines.step("value", "kl⁻¹( {L̂} | {c} )", kl_inverse_upper(risk, exponent))
