"""A checkpoint opened, its network read, its layers measured."""

from __future__ import annotations

from dlgen_cli.checkpoints import Checkpoint, open_checkpoint
from dlgen_cli.errors import StrictError
from dlgen_cli.evidence.layers import Progress, measure
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.plan import Inputs
from dlgen_cli.networks import ReadNetwork, read_network
from dlgen_cli.processes import exchange


def gather(
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
    opened: list[tuple[Checkpoint, ReadNetwork]] = []
    exchange(lambda: opened.append(_open(options)))  # where one process fails, all do
    checkpoint, read = opened[0]
    m, sample = ledger.sample_lines(checkpoint, options.m)
    return Inputs(
        options=options,
        checkpoint=checkpoint,
        read=read,
        layers=measure(options, read, progress, for_bounds=for_bounds) if with_layers else [],
        m=m,
        sample=sample,
    )


def _open(options: AuditOptions) -> tuple[Checkpoint, ReadNetwork]:

    checkpoint = open_checkpoint(options.checkpoint)
    read = read_network(
        checkpoint,
        arch=options.arch,
        input_shape=options.input_shape,
        include=options.include,
        exclude=options.exclude,
    )
    if options.strict and read.skipped:
        listed = "; ".join(f"{one.name}: {one.reason}" for one in read.skipped[:3])
        raise StrictError(
            f"--strict: {len(read.skipped)} skipped ({listed}).",
            remedy="Exclude nothing, or drop --strict to see them in the report.",
        )
    return checkpoint, read
