"""``dlgen train``: options to a run directory and a report."""

from __future__ import annotations

from dlgen_cli.cli import console
from dlgen_cli.cli.objectives import TrainCommand, require_objective


def train(options: TrainCommand) -> None:
    """Train one of the four regimes, or a posterior, and write a checkpoint directory.

    No explicit regularization is added to the cross-entropy. On the CPU the same
    options give the same bytes.
    """
    console.chosen_format(options)  # fails before the training, not after it
    objective = require_objective(options)
    report = objective.train(options, options.given())
    if report is not None:
        console.emit(report, options)
