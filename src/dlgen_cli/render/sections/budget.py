"""What a sample can pay for, beside what the network takes at its cheapest."""

from __future__ import annotations

import math

from dlgen_cli.bounds.budget import affordable_nats, cheapest, examples_needed
from dlgen_cli.records import ADAPTER_KIND, RecordedErrors, Report
from dlgen_cli.render import numbers

#: For each number of an adapter's factors, which networks mostly bear.
_BITS = 4
#: The commands whose pages tell it.
_COMMANDS = frozenset({"audit", "pacbayes"})


def budget_text(report: Report) -> str:
    """What the sample can pay, in two sentences on nats; empty where nothing is counted in any.

    Args:
        report: its errors on record and m say what can be afforded, its bounds what is taken; or,
            of an adapter, the numbers in its factors.
    """
    taken = _taken(report)
    m, delta = report.settings.get("m"), float(report.settings.get("delta") or 0.05)
    if report.command not in _COMMANDS or taken is None or not isinstance(m, int):
        return ""
    recorded = report.provenance.recorded_errors if report.provenance else None
    errors, known = _errors(recorded, m)
    guessing = 1 - 1 / (recorded.classes if recorded else 2)
    allowed = affordable_nats(errors, m, delta, guessing)
    what, nats = taken
    needed = examples_needed(nats, errors / m, delta, guessing)
    more = "" if nats <= allowed else f": {numbers.estimate(needed)} examples would pay for that"
    return (
        f"{numbers.integer(m)} examples at a training error of {numbers.estimate(errors / m)}"
        f"{known} allow {numbers.estimate(allowed)} nats until a bound is that of guessing, "
        f"{numbers.estimate(guessing)}. {what.format(numbers.estimate(nats))}{more}."
    )


def _taken(report: Report) -> tuple[str, float] | None:
    """What the network takes at its cheapest, with a place for the nats; None where nothing is."""
    found = cheapest(report.bounds)
    if found is not None:
        return f"This network takes {{}} at its cheapest ({found[0]})", found[1]
    entries = sum(one.parameters for one in report.layers if one.kind == ADAPTER_KIND)
    if not entries:
        return None
    told = f"{numbers.integer(entries)} numbers in the factors of this adapter"
    return f"The {told} take {{}} at {_BITS} bits each", entries * _BITS * math.log(2)


def _errors(recorded: RecordedErrors | None, m: int) -> tuple[int, str]:
    """Training errors among m examples, and whether they are on record."""
    if recorded is None:
        return 0, " (none is on record; guessing among two classes)"
    return min(m, -(-recorded.training_errors * m // recorded.examples)), ""
