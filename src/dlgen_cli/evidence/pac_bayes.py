"""The PAC-Bayes bounds of a checkpoint against its anchors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from dlgen_cli import bounds
from dlgen_cli.bounds.pac_bayes import ANCHORS, MIXTURE, PINSKER
from dlgen_cli.checkpoints.anchors import AnchorTensors, open_anchors
from dlgen_cli.checkpoints.formats.detection import is_run_directory
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs.run_config import read_config
from dlgen_cli.checkpoints.runs.run_record import require_own
from dlgen_cli.errors import TensorError, UsageError
from dlgen_cli.evidence.anchors import shared_lines
from dlgen_cli.evidence.hypothesis import fixed_lines, hypothesis, parameter_lines
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.plan import Plan, withheld_plan
from dlgen_cli.networks import CheckpointTensors
from dlgen_cli.records import Bound
from dlgen_cli.spectra import squared_distance_upper, sum_up

_THEOREMS = (ANCHORS, MIXTURE, PINSKER)


def plan_pac_bayes(inputs: Inputs) -> Plan:
    """Prepare the PAC-Bayes bounds; a run's own initialization is its anchor where none is given.

    Raises:
        UsageError: there is no anchor.
        AnchorError: an anchor does not match; the tensor is named.
    """
    options = inputs.options
    paths, from_run = anchor_paths(options)
    settings = {"anchors": [str(path) for path in paths], "sigma": list(options.sigma)}
    opened = open_anchors(paths, inputs.checkpoint, inputs.read.tied, prefix=options.prefix)
    assumptions = [
        *inputs.sample,
        *parameter_lines(inputs),
        ledger.bounded_loss_line(),
        *ledger.anchor_lines([anchor.label for anchor in opened], from_run=from_run),
        *shared_lines(opened, inputs.checkpoint),
        *(line for anchor in opened for line in fixed_lines(anchor, inputs)),
    ]
    try:
        own = hypothesis(inputs, inputs.read.tensors)
        for name in own:
            own[name]  # each must be readable
    except TensorError as error:
        return withheld_plan(settings, _THEOREMS, PINSKER, assumptions, error)
    anchors = [_measure_anchor(anchor, own, inputs) for anchor in opened]

    def evaluate(delta: float) -> list[Bound]:
        return [
            theorem.evaluate(anchors, options.sigma, inputs.m, delta, assumptions)
            for theorem in _THEOREMS
        ]

    return Plan(settings=settings, evaluate=evaluate, preferred=PINSKER.name)


def anchor_paths(options: AuditOptions) -> tuple[list[Path], bool]:
    """The anchors' files, and whether they are the run's own initialization.

    Raises:
        UsageError: there is no anchor.
    """
    if not options.has_anchor:
        raise UsageError(
            "No anchor was given; PAC-Bayes needs at least one.",
            remedy="Give --anchors FILE, for example the weights before training.",
        )
    if options.anchors:
        return list(options.anchors), False
    return [options.initialization], _was_drawn(options)


def _was_drawn(options: AuditOptions) -> bool:
    """Whether a run drew its initialization: it did not start from weights that it was given.

    Raises:
        CheckpointError: the file is not the one that the run wrote.
    """
    if is_run_directory(options.checkpoint):
        directory = options.checkpoint
        require_own(directory, read_config(directory), options.initialization.name)
    initial = open_checkpoint(options.initialization)
    return initial.config is not None and initial.is_initial and "anchor" not in initial.config


def _measure_anchor(
    anchor: AnchorTensors, own: Mapping[str, Tensor], inputs: Inputs
) -> bounds.Anchor:
    other = hypothesis(inputs, CheckpointTensors(anchor.source))
    parts = [(name, squared_distance_upper(own[name], other[name])) for name in own]
    return bounds.Anchor(
        name=anchor.name,
        squared_distance_upper=sum_up([part for _, part in parts]),
        contributions=parts,
    )
