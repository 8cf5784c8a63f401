"""The risk of a network by its errors on the sample and the bits that write it down."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dlgen_cli.bounds.arithmetic import LN2, log_inverse, to_float, upward
from dlgen_cli.bounds.compression import EMPTY_TERMS
from dlgen_cli.bounds.concentration import (
    binomial_tail_inverse_upper,
    error_rate,
    kl_inverse_upper,
    require_errors,
)
from dlgen_cli.bounds.derivations.compression import risk_by_code_length
from dlgen_cli.bounds.ranges import require_delta, require_nonnegative
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.theorem import Part, Theorem
from dlgen_cli.records import Assumption, Bound

SOURCE = (
    "Langford 2005, 'Tutorial on practical prediction theory for classification', "
    "the Occam's razor bound, https://jmlr.org/papers/v6/langford05a.html"
)


@upward
def occam(
    bits: float,
    errors: int,
    examples: int,
    delta: float,
    *,
    union_nats: float = 0.0,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the risk of a network that a code of fixed meaning writes in ``bits`` bits.

    ``sup { p : P( Bin(m, p) <= errors ) >= delta_h }`` with
    ``ln(1/delta_h) = bits ln 2 + union_nats + ln(1/delta)``: with probability 1 - delta for
    all networks of the code at once. The kl form ``kl^-1( errors/m | ln(1/delta_h) / m )``, which
    is never smaller, stands beside it in the terms. No Lipschitz constant is needed.

    Source: `SOURCE`.

    Assumes: the code (a prefix code, or a length that was fixed) was chosen before the sample;
    i.i.d. examples; 0-1 loss.

    Args:
        bits: code length, at least 0: factors, biases, scales, folded normalization.
        errors: wrongly classified examples of the sample, from 0 to ``examples``.
        examples: m, at least 1.
        delta: failure probability in (0, 1).
        union_nats: further nats that are paid, rounded upward, at least 0: ``ln`` of the number
            of ranks, widths and other choices made after looking.
        assumptions: the caller's ledger.

    Returns:
        An upper bound on the risk itself, not on the gap; at most 1.

    Raises:
        UsageError: a number outside its range, named.
    """
    require_nonnegative("bits", bits)
    require_nonnegative("union_nats", union_nats)
    require_errors(errors, examples)
    require_delta(delta)
    nats = Decimal(bits) * LN2 + Decimal(union_nats) + log_inverse(Decimal(delta))
    nats = nats.next_plus()  # logarithms are rounded to nearest
    exact = binomial_tail_inverse_upper(errors, examples, -nats)
    terms: dict[str, Any] = {
        "bounded": "risk",
        "bits": bits,
        "union_nats": union_nats,
        "nats": to_float(nats),
        "errors": errors,
        "examples": examples,
        "empirical_risk": to_float(error_rate(errors, examples)),
        "delta": delta,
        "kl_form": to_float(kl_inverse_upper(error_rate(errors, examples), nats / examples)),
        "exact_tail": to_float(exact),
    }
    return OCCAM.conclude(value=exact, terms=terms, assumptions=assumptions)


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    return occam(
        terms.number("bits"),
        terms.count("errors"),
        terms.count("examples"),
        delta,
        union_nats=terms.number("union_nats"),
        assumptions=lines,
    )


OCCAM = Theorem(
    name="compression.occam",
    family="compression",
    title="Risk of the compressed network, by its errors and its code length",
    speaks_of="the risk of the network that the code stands for, not of the network itself",
    source=SOURCE,
    evaluate=occam,
    read_back=_read_back,
    made_of=(
        Part(term="empirical_risk", phrase="risk on the sample {}"),
        Part(term="bits", phrase="{} bits", kind="count"),
        Part(term="examples", phrase="{} examples", kind="count"),
    ),
    sample="part",
    contradicted_by="any",
    empty_terms={
        "bounded": "risk",
        "errors": None,
        "examples": None,
        "empirical_risk": None,
        **EMPTY_TERMS,
    },
    derive=risk_by_code_length,
)
