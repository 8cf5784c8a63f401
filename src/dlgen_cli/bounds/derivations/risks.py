"""The lines of a limit on a risk from counted errors alone."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import UPWARD, log_inverse
from dlgen_cli.bounds.betting import betting_mean_upper, read_losses, stakes
from dlgen_cli.bounds.concentration import clopper_pearson_upper
from dlgen_cli.bounds.derivations.derivation import Derivation, Step
from dlgen_cli.bounds.recorded_fields import Fields


def risk_on_holdout(terms: Fields) -> Sequence[Step]:
    """``sup { p : P( Bin(n, p) <= errors ) >= delta }``."""
    errors, n, delta = terms.count("errors"), terms.count("examples"), terms.number("delta")
    lines = Derivation({"n": n, "errors": errors, "δ": Decimal(delta)})
    lines.step(
        "value",
        "sup{{ p : P(Bin({n}, p) ≤ {errors}) ≥ {δ} }}",
        clopper_pearson_upper(errors, n, delta),
    )
    return lines.steps


def risk_through_disagreement(terms: Fields) -> Sequence[Step]:
    """``R(g) + P(h != g)``, each by its limit at ``delta / 2``."""
    n, apart = terms.count("examples"), terms.count("disagreements")
    held, errors = terms.count("surrogate_examples"), terms.count("surrogate_errors")
    delta = terms.number("delta")
    lines = Derivation(
        {"n": n, "disagreements": apart, "N": held, "errors": errors, "δ": Decimal(delta)}
    )
    limit = "sup{{{{ p : P(Bin({{{}}}, p) ≤ {{{}}}) ≥ {{δ}}/2 }}}}"
    one = lines.step(
        "R(g)", limit.format("N", "errors"), clopper_pearson_upper(errors, held, delta / 2)
    )
    two = lines.step(
        "P(h≠g)", limit.format("n", "disagreements"), clopper_pearson_upper(apart, n, delta / 2)
    )
    lines.step("value", "{R(g)} + {P(h≠g)}", min(Decimal(1), UPWARD.add(one, two)))
    return lines.steps


def mean_by_betting(terms: Fields) -> Sequence[Step]:
    """``sup { p : K(p) < e^nats }``."""
    n, delta = terms.count("examples"), Decimal(terms.number("delta"))
    union = Decimal(terms.number("union_nats"))
    lines = Derivation({"δ": delta, "union": union})
    nats = UPWARD.add(log_inverse(delta), union).next_plus()
    lines.step("nats", "{union} + ln(1/{δ})", nats)
    lines.recorded(
        "value",
        f"the least p at which {len(stakes(n))} players who bet on {n:,} losses that their mean is "
        "below p have a mean wealth of e^nats",
        betting_mean_upper(read_losses(terms), nats),
    )
    return lines.steps
