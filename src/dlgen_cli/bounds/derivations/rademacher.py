"""The lines of the Rademacher-shell bounds."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext

from dlgen_cli.bounds.arithmetic import PI, UPWARD, upward
from dlgen_cli.bounds.derivations.derivation import Derivation, Step, read_number
from dlgen_cli.bounds.recorded_fields import Fields


def _start(terms: Fields) -> tuple[Derivation, Decimal, int, Decimal]:
    """The lines up to the shell, with delta, m and k."""
    delta, m = Decimal(terms.number("delta")), terms.count("examples")
    lines = Derivation(
        {
            "p": terms.count("parameters"),
            "‖θ‖_∞": terms.number("linf_norm"),
            "ε": terms.number("epsilon"),
            "m": m,
            "δ": delta,
        }
    )
    shell = Decimal(terms.count("shell"))
    lines.step("k", "max(1, ⌈(1/2 − {‖θ‖_∞})/{ε}⌉)", shell)
    return lines, delta, m, shell


@upward
def gap_by_expected_complexity(terms: Fields) -> Sequence[Step]:
    """``2 V_k + sqrt( ln(1/delta_k) / (2m) )``."""
    lines, delta, m, k = _start(terms)
    volume = lines.step("V_k", "1 − (1 − 2·{k}·{ε})^{p}", read_number(terms, "volume"))
    complexity = lines.step("complexity", "2·{V_k}", 2 * volume)
    lines.step("δ_k", "6·{δ}/(π²·{k}²)", 6 * delta / (PI * PI * k * k))
    inverse = PI * PI * k * k / (6 * delta)
    deviation = (inverse.ln() / (2 * m)).sqrt()
    lines.step("deviation", "√( ln(1/{δ_k}) / (2·{m}) )", deviation)
    lines.step("value", "{complexity} + {deviation}", complexity + deviation)
    return lines.steps


@upward
def gap_by_markov(terms: Fields) -> Sequence[Step]:
    """``2 V_k / d_k + 4 sqrt( 2 ln(4 / d_k) / m )``; of schema 1, ``delta/2`` in the first term."""
    lines, delta, m, k = _start(terms)
    volume = lines.step("V_k", "1 − (1 − 2·{k}·{ε})^{p}", read_number(terms, "volume"))
    if "shells_paid" in terms.values:
        shells = lines.step("shells", "π²·{k}²/6", PI * PI * k * k / 6)
        complexity = lines.step(
            "complexity", "2·{V_k}·{shells}/({δ}/2)", 4 * volume / delta * shells
        )
    else:
        complexity = lines.step("complexity", "2·{V_k}/({δ}/2)", 4 * volume / delta)
    deviation = lines.step(
        "deviation",
        "4·√( 2·ln( (2·π²/3)·{k}²·(2/{δ}) ) / {m} )",
        4 * _root(delta, m, k),
    )
    lines.step("value", "{complexity} + {deviation}", complexity + deviation)
    return lines.steps


@upward
def gap_as_printed(terms: Fields) -> Sequence[Step]:
    """The formula of the source, which is not valid."""
    lines, delta, m, k = _start(terms)
    volume = lines.step("V", "(1/2)^{p} − (1/2 − {k}·{ε})^{p}", read_number(terms, "volume"))
    complexity = lines.step("complexity", "{V}/({δ}/4)", volume * 4 / delta)
    deviation = lines.step(
        "deviation", "√( 2·ln( (2·π²/3)·{k}²·(2/{δ}) ) / {m} )", _root(delta, m, k)
    )
    lines.step("value", "{complexity} + {deviation}", complexity + deviation)
    return lines.steps


def _root(delta: Decimal, m: int, k: Decimal) -> Decimal:
    with localcontext(UPWARD):
        return (2 * (2 * PI * PI / 3 * k * k * 2 / delta).ln() / m).sqrt()
