"""The risk of a network on examples that it never saw: the Clopper-Pearson upper limit."""

from __future__ import annotations

from collections.abc import Sequence

from dlgen_cli.bounds.arithmetic import to_float, upward
from dlgen_cli.bounds.concentration import clopper_pearson_upper, error_rate
from dlgen_cli.bounds.derivations.risks import risk_on_holdout
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Part, Theorem
from dlgen_cli.records import Assumption, Bound


@upward
def clopper_pearson(
    errors: int, examples: int, delta: float, assumptions: Sequence[Assumption] = ()
) -> Bound:
    """Bound the risk by the errors on a holdout, with probability 1 - delta.

    ``sup { p : P( Bin(n, p) <= errors ) >= delta }``, exact for independent examples.

    Source: Clopper and Pearson 1934, one-sided, https://doi.org/10.1093/biomet/26.4.404

    Assumes: the network was fixed before the n examples were looked at; i.i.d. examples.

    Args:
        errors: wrongly classified examples, from 0 to ``examples``.
        examples: n, at least 1, none of which the network or its choice has seen.
        delta: failure probability in (0, 1).
        assumptions: the caller's ledger.

    Returns:
        An upper bound on the risk itself, not on the gap; at most 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    value = clopper_pearson_upper(errors, examples, delta)
    return CLOPPER_PEARSON.conclude(
        value=value,
        terms={
            "bounded": "risk",
            "errors": errors,
            "examples": examples,
            "delta": delta,
            "empirical_risk": to_float(error_rate(errors, examples)),
        },
        assumptions=assumptions,
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    return clopper_pearson(terms.count("errors"), terms.count("examples"), delta, lines)


CLOPPER_PEARSON = Theorem(
    name="holdout.clopper_pearson",
    family="holdout",
    title="Risk on examples never seen, by the Clopper-Pearson limit",
    speaks_of="the risk of the network itself",
    source="Clopper and Pearson 1934, https://doi.org/10.1093/biomet/26.4.404, one-sided",
    evaluate=clopper_pearson,
    read_back=_read_back,
    made_of=(
        Part(term="errors", phrase="{} errors", kind="count"),
        Part(term="examples", phrase="{} examples", kind="count"),
    ),
    sample="apart",
    derive=risk_on_holdout,
    contradicted_by="real_risk",
)
