"""The risk of one network through another: how often they disagree, and the other's risk."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import to_float, upward
from dlgen_cli.bounds.concentration import clopper_pearson_upper, error_rate
from dlgen_cli.bounds.derivations.risks import risk_through_disagreement
from dlgen_cli.bounds.ranges import require_delta
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Part, Theorem
from dlgen_cli.records import Assumption, Bound


@upward
def disagreement_risk(
    disagreements: int,
    examples: int,
    surrogate_errors: int,
    surrogate_examples: int,
    delta: float,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the risk of h by that of g and by how often they differ, with probability 1 - delta.

    ``R(h) <= R(g) + P(h != g)``: where h errs and g does not, they differ. Each of the two is at
    most its Clopper-Pearson limit but with probability ``delta / 2``.

    Source: the union bound, and Clopper and Pearson 1934, https://doi.org/10.1093/biomet/26.4.404.

    Assumes: g was fixed before its holdout was looked at, h and g before the n unlabelled examples;
    i.i.d. examples. The two samples may depend on each other.

    Args:
        disagreements: unlabelled examples on which h and g do not answer one and the same class,
            from 0 to ``examples``.
        examples: n, at least 1, none of which h, g or their choice has seen.
        surrogate_errors: of g on its holdout, from 0 to ``surrogate_examples``.
        surrogate_examples: of that holdout, at least 1.
        delta: failure probability in (0, 1).
        assumptions: the caller's ledger.

    Returns:
        An upper bound on the risk of h itself; at most 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    require_delta(delta)
    share = delta / 2
    surrogate = clopper_pearson_upper(surrogate_errors, surrogate_examples, share)
    apart = clopper_pearson_upper(disagreements, examples, share)
    return DISAGREEMENT.conclude(
        value=min(Decimal(1), surrogate + apart),
        terms={
            "bounded": "risk",
            "surrogate": to_float(surrogate),
            "surrogate_errors": surrogate_errors,
            "surrogate_examples": surrogate_examples,
            "disagreement_upper": to_float(apart),
            "disagreement_rate": to_float(error_rate(disagreements, examples)),
            "disagreements": disagreements,
            "examples": examples,
            "delta": delta,
        },
        assumptions=assumptions,
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    return disagreement_risk(
        terms.count("disagreements"),
        terms.count("examples"),
        terms.count("surrogate_errors"),
        terms.count("surrogate_examples"),
        delta,
        lines,
    )


DISAGREEMENT = Theorem(
    name="disagreement",
    family="disagreement",
    title="Risk through a certified network that mostly agrees, on unlabelled examples",
    speaks_of="the risk of the network itself",
    source=(
        "A union bound over two limits of Clopper and Pearson 1934, "
        "https://doi.org/10.1093/biomet/26.4.404, one-sided"
    ),
    evaluate=disagreement_risk,
    read_back=_read_back,
    made_of=(
        Part(term="surrogate", phrase="risk of the surrogate {}"),
        Part(term="disagreements", phrase="{} disagreements", kind="count"),
        Part(term="examples", phrase="{} examples", kind="count"),
    ),
    sample="apart",
    derive=risk_through_disagreement,
    contradicted_by="real_risk",
)
