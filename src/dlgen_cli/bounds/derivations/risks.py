"""The lines of a limit on a risk from counted errors alone."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

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
