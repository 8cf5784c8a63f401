"""Checkpoints of one training side by side: the norms of every layer against the step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlgen_cli.audit.report import report_of
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.inputs import Inputs, read_inputs
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.records import Report

_NUMBER = re.compile(r"\d+")


def measure_series(
    options: AuditOptions, checkpoints: Sequence[Path], *, progress: Progress
) -> Report:
    """Measure every layer of each checkpoint.

    The step of a checkpoint is the number of epochs that its run records, else the last number in
    its name, else its place among the arguments: the first of these that tells all of them apart.

    Args:
        options: what to measure; its checkpoint is not read.
        checkpoints: two or more, of one architecture.
        progress: called before each layer.

    Returns:
        The report of ``dlgen spectra`` on the checkpoint of the last step, with
        ``results["series"]``, a row for each checkpoint by ascending step, and
        ``results["step_from"]``: ``record``, ``name`` or ``order``.

    Raises:
        UsageError: fewer than two checkpoints are given, or they share no layer.
        DlgenError: bad input; one subclass for each kind.
    """
    if len(checkpoints) < 2:
        raise UsageError(f"{len(checkpoints)} checkpoint was given.", remedy="Give two or more.")
    read = [
        read_inputs(
            replace(options, checkpoint=path), with_layers=True, for_bounds=False, progress=progress
        )
        for path in checkpoints
    ]
    source, steps = _steps([inputs.checkpoint for inputs in read])
    ordered = sorted(zip(steps, read, strict=True), key=lambda one: one[0])
    rows = [_row(step, inputs) for step, inputs in ordered]
    if not set.intersection(*(set(row["layers"]) for row in rows)):
        raise UsageError(
            "The checkpoints share no layer.",
            remedy="Give checkpoints of one architecture, all with or without --prefix.",
        )
    _, last = ordered[-1]
    return report_of(
        last,
        command="spectra",
        settings={"m": last.m, "delta": options.delta, "r": options.r},
        results={"step_from": source, "series": rows},
    )


def _row(step: int, inputs: Inputs) -> dict[str, Any]:
    stored = [layer.stored for layer in inputs.layers]
    return {
        "step": step,
        "checkpoint": str(inputs.options.checkpoint),
        "sha256": inputs.checkpoint.sha256,
        "layers": {
            layer.name: {
                "spectral_norm": layer.spectral_norm,
                "frobenius_norm": layer.frobenius_norm.upper,
                "stable_rank": layer.stable_rank,
            }
            for layer in stored
        },
    }


def _steps(checkpoints: Sequence[Checkpoint]) -> tuple[str, list[int]]:
    """Where the steps come from, and one for each checkpoint."""
    for source, steps in (
        ("record", [_recorded(one) for one in checkpoints]),
        ("name", [_named(one.path) for one in checkpoints]),
    ):
        known = [step for step in steps if step is not None]
        if len(set(known)) == len(checkpoints):
            return source, known
    return "order", list(range(len(checkpoints)))


def _recorded(checkpoint: Checkpoint) -> int | None:
    if checkpoint.config is None:
        return None
    epochs = 0 if checkpoint.is_initial else checkpoint.config.get("epochs")
    return epochs if isinstance(epochs, int) else None


def _named(path: Path) -> int | None:
    numbers = _NUMBER.findall(path.stem if path.suffix else path.name) or _NUMBER.findall(
        path.parent.name
    )
    return int(numbers[-1]) if numbers else None
