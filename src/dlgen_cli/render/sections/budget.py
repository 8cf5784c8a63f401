"""What a sample can pay for, beside what the network takes at its cheapest."""

from __future__ import annotations

from dlgen_cli.bounds.budget import affordable_nats, cheapest
from dlgen_cli.records import RecordedErrors, Report
from dlgen_cli.render import numbers
from dlgen_cli.render.model import Paragraph, Section

#: The commands whose pages tell it.
_COMMANDS = frozenset({"audit", "pacbayes"})


def budget_section(report: Report) -> Section | None:
    """One sentence on nats; None where no bound has any.

    Args:
        report: its errors on record and m say what can be afforded, its bounds what is taken.
    """
    found = cheapest(report.bounds)
    m, delta = report.settings.get("m"), report.settings.get("delta")
    if report.command not in _COMMANDS or found is None or not isinstance(m, int):
        return None
    recorded = report.provenance.recorded_errors if report.provenance else None
    errors, known = _errors(recorded, m)
    guessing = 1 - 1 / (recorded.classes if recorded else 2)
    allowed = affordable_nats(errors, m, float(delta or 0.05), guessing)
    theorem, nats = found
    times = f", {numbers.estimate(nats / allowed)} times as many" if nats > allowed > 0 else ""
    text = (
        f"{numbers.integer(m)} examples at a training error of {numbers.estimate(errors / m)}"
        f"{known} allow {numbers.estimate(allowed)} nats until a bound is that of guessing, "
        f"{numbers.estimate(guessing)}. This network takes {numbers.estimate(nats)} at its "
        f"cheapest ({theorem}){times}."
    )
    return Section(title="What the sample can pay", blocks=(Paragraph(text=text),), role="main")


def _errors(recorded: RecordedErrors | None, m: int) -> tuple[int, str]:
    """Training errors among m examples, and whether they are on record."""
    if recorded is None:
        return 0, " (none is on record; guessing among two classes)"
    return min(m, -(-recorded.training_errors * m // recorded.examples)), ""
