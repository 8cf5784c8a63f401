"""A checkpoint opened, its network read, its layers measured."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import StrictError
from dlgen_cli.evidence.layers import Measured, Progress, Unmeasured, measure
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.networks import ReadNetwork, read_network
from dlgen_cli.processes import exchange
from dlgen_cli.records import Assumption, SkippedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the families draw on.

    Attributes:
        options: what the user asked for.
        checkpoint: named tensors.
        read: the network in it.
        layers: what was measured; empty where no family needs it.
        m: sample count in force.
        sample: the ledger's lines about the sample.
        progress: called as work gets done.
    """

    options: AuditOptions
    checkpoint: Checkpoint
    read: ReadNetwork
    layers: Sequence[Measured]
    m: int
    sample: Sequence[Assumption]
    progress: Progress


def read_inputs(
    options: AuditOptions, *, with_layers: bool, for_bounds: bool, progress: Progress
) -> Inputs:
    """Read all that the theorems draw on.

    Args:
        options: what the user asked for.
        with_layers: measure the layers.
        for_bounds: measure all that the compression bounds need of them.
        progress: called before each layer.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    options.require_ranges()
    opened: list[tuple[Checkpoint, ReadNetwork]] = []
    exchange(lambda: opened.append(_open(options)))  # where one process fails, all do
    checkpoint, read = opened[0]
    m, sample = ledger.sample_lines(checkpoint, options.m)
    layers: list[Measured] = []
    if with_layers:
        layers, failed = measure(options, read, progress, for_bounds=for_bounds)
        if failed:
            read = _without(failed, checkpoint, options, read)
            _require_whole(options, read)
    return Inputs(
        options=options,
        checkpoint=checkpoint,
        read=read,
        layers=layers,
        m=m,
        sample=sample,
        progress=progress,
    )


def _without(
    failed: Sequence[Unmeasured], checkpoint: Checkpoint, options: AuditOptions, read: ReadNetwork
) -> ReadNetwork:
    """The network without the layers that could not be measured; each is skipped with its reason.

    Nothing that needs the whole network holds without them.
    """
    names = [glob.escape(one.name) for one in failed]
    again = _read(checkpoint, options, [*options.exclude, *names])
    reasons = {one.name: one.error.message for one in failed}
    known = {one.name for one in (*read.skipped, *read.counters)}
    lost = [SkippedLayer(name=name, reason=reason) for name, reason in reasons.items()]
    rest = [one for one in again.skipped if one.name in known]
    return replace(again, skipped=[*lost, *rest])


def _open(options: AuditOptions) -> tuple[Checkpoint, ReadNetwork]:
    if options.given is not None:
        checkpoint = options.given.checkpoint
    else:
        checkpoint = open_checkpoint(options.checkpoint, part=options.part, prefix=options.prefix)
    read = _read(checkpoint, options, options.exclude)
    _require_whole(options, read)
    return checkpoint, read


def _require_whole(options: AuditOptions, read: ReadNetwork) -> None:
    """Hold to ``--strict``.

    Raises:
        StrictError: a tensor was skipped.
    """
    if options.strict and read.skipped:
        listed = "; ".join(f"{one.name}: {one.reason}" for one in read.skipped[:3])
        raise StrictError(
            f"--strict: {len(read.skipped)} skipped ({listed}).",
            remedy="Exclude nothing, or drop --strict to see them in the report.",
        )


def _read(checkpoint: Checkpoint, options: AuditOptions, exclude: Sequence[str]) -> ReadNetwork:
    return read_network(
        checkpoint,
        arch=options.arch,
        arch_arguments=options.arch_arguments,
        input_shape=options.input_shape,
        include=options.include,
        exclude=exclude,
        module=options.given.module if options.given is not None else None,
    )
