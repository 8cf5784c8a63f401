"""How much of a checkpoint the measured layers stand for."""

from __future__ import annotations

from collections.abc import Sequence

from dlgen_cli.checkpoints import Checkpoint
from dlgen_cli.networks.folding import tensor_names
from dlgen_cli.networks.layouts.leftovers import is_positions
from dlgen_cli.networks.read_network import ReadNetwork
from dlgen_cli.records import Coverage


def coverage_of(read: ReadNetwork, checkpoint: Checkpoint, measured: Sequence[str]) -> Coverage:
    """Count what was audited.

    Entries of integer tensors count too, unless they are single numbers or positions by their
    name: they may be packed weights.

    Args:
        read: the network.
        checkpoint: its tensors.
        measured: names of the layers that were measured.
    """
    infos = checkpoint.tensors
    layers = read.network.layers
    covered = {name for one in measured for name in tensor_names(layers[one], infos)}
    may_be_weights = {
        name: info.numel
        for name, info in infos.items()
        if name not in read.tied and (info.is_floating or (info.shape and not is_positions(info)))
    }
    return Coverage(
        matrices=len(measured),
        parameters=sum(may_be_weights.get(name, 0) for name in covered),
        of=sum(may_be_weights.values()),
        left_out=len(infos) - len(covered),
    )
