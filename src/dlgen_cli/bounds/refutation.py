"""What the errors on record say against a bound.

A bound on a risk or a gap is refuted where the errors of the network, or what no predictor can do
better on the population of the run, contradict it. The network's risk R on real examples is known
from the test errors with confidence `CONFIDENCE`; the rest follows from how a run makes its
examples. With K classes and a share s of altered examples the risk on its own population is

    standard            R
    random              1 - 1/K, of every predictor: the label is uniform whatever the image
    mixed-random        (1 - s) R + s (1 - 1/K)
    mixed-adversarial   at least (1 - s) R + s (1 - R): who gives the real label errs on the
                        altered ones, and who does not errs on all that are not altered

A gap in the 0-1 error is that risk less the training error. A gap in another loss is not refuted,
nor is that of a random predictor: their risks on the sample are not on record.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal, localcontext

from dlgen_cli.bounds.arithmetic import DOWNWARD, ONE, ZERO
from dlgen_cli.bounds.concentration import clopper_pearson_upper, error_rate
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.records import Bound, RecordedErrors

#: Of a refutation; both ends of the Clopper-Pearson interval share what is left.
CONFIDENCE = 0.999
_TAIL = 0.0005


def refute(bound: Bound, recorded: RecordedErrors | None) -> Bound:
    """A bound with what the errors on record say of it.

    Args:
        bound: as its theorem concluded it.
        recorded: errors of the network; None where there are none.

    Returns:
        The same bound, or with the status ``refuted`` and ``terms["refuted_by"]``: the ``quantity``
        (``risk`` or ``gap``), what it is ``at_least``, and with which ``confidence``.
    """
    theorem = THEOREMS[bound.theorem]
    is_claim = bound.status in ("holds", "conditional") and bound.value is not None
    if recorded is None or theorem.contradicted_by is None or not is_claim:
        return bound
    quantity = "risk"
    match theorem.contradicted_by:
        case "real_risk":
            least = _real_risk_lower(recorded)
        case "any":
            least = _risk_lower(recorded, ZERO)
        case "gap":
            quantity = "gap"
            errors = error_rate(recorded.training_errors, recorded.examples)
            with localcontext(DOWNWARD):
                least = _risk_lower(recorded, _real_risk_lower(recorded)) - errors
    if Decimal(bound.value or 0) >= least:
        return bound
    nearest = float(least)
    lower = nearest if Decimal(nearest) <= least else math.nextafter(nearest, 0.0)
    found = {"quantity": quantity, "at_least": lower, "confidence": CONFIDENCE}
    return replace(bound, status="refuted", terms={**bound.terms, "refuted_by": found})


def _real_risk_lower(recorded: RecordedErrors) -> Decimal:
    """The lower Clopper-Pearson limit on the network's risk on real examples, downward."""
    right = recorded.test_examples - recorded.test_errors
    return DOWNWARD.subtract(ONE, clopper_pearson_upper(right, recorded.test_examples, _TAIL))


def _risk_lower(recorded: RecordedErrors, real: Decimal) -> Decimal:
    """The least risk on the run's own population, downward.

    Args:
        recorded: how the population was made.
        real: bounds the risk on real examples from below.
    """
    with localcontext(DOWNWARD):
        blind = Decimal(recorded.classes - 1) / recorded.classes
        kept = Decimal(recorded.examples - recorded.altered) / recorded.examples
        altered = Decimal(recorded.altered) / recorded.examples
        match recorded.dataset:
            case "standard":
                return real
            case "random":
                return blind
            case "mixed-random":
                return kept * real + altered * blind
            case "mixed-adversarial":
                # s + (1 - 2 s) R rises with R while s is at most one half
                return kept if altered > kept else altered + (kept - altered) * real
            case _:
                return ZERO
