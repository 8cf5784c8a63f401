"""``dlgen train``: options to a run directory and a report."""

from __future__ import annotations

import shlex

from dlgen_cli.cli import console
from dlgen_cli.cli.objectives import TrainCommand, require_objective
from dlgen_cli.records import REAL_IMAGE_REGIMES, Report


def train(options: TrainCommand) -> None:
    """Train one of the four regimes, or a posterior, and write a checkpoint directory.

    No explicit regularization is added to the cross-entropy. On the CPU the same
    options give the same bytes.
    """
    console.chosen_format(options)  # fails before the training, not after it
    objective = require_objective(options)
    report = objective.train(options, options.given())
    if report is None:
        return
    console.emit(report, options)
    if not options.quiet and report.settings["dataset"] in REAL_IMAGE_REGIMES:
        console.stderr().print(f"Certify it with: {_certify(report, options)}", markup=False)


def _certify(report: Report, options: TrainCommand) -> str:
    """The command that certifies the run on the data that it was trained on."""
    settings, directory = report.settings, (report.results or {})["directory"]
    examples = [part for path in settings["features"] for part in ("--features", str(path))]
    if not examples:
        examples = ["--data", str(options.data_dir or settings["source"])]
    return shlex.join(["dlgen", "certify", directory, *examples])
