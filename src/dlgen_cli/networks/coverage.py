"""What became of every entry that a checkpoint stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.networks.folding import tensor_names
from dlgen_cli.networks.read_network import ReadNetwork
from dlgen_cli.records import Coverage


def coverage_of(read: ReadNetwork, checkpoint: Checkpoint, measured: Sequence[str]) -> Coverage:
    """Count what was audited, and what was not; nothing vanishes.

    Args:
        read: the network.
        checkpoint: its tensors.
        measured: names of the layers that were measured.

    Returns:
        ``parameters + counted + unknown == of``, and ``of + aside == entries``.
    """
    infos = checkpoint.tensors
    layers = read.network.layers
    covered = {name for one in measured for name in tensor_names(layers[one], infos)}
    entries = Counter[str](
        aside=sum(one.entries for one in checkpoint.left_aside),
        unknown=sum(one.entries for one in checkpoint.not_understood),
    )
    roles = _roles(read, checkpoint)
    for name, info in infos.items():
        entries["measured" if name in covered else roles[name]] += info.entries
    of = entries["measured"] + entries["parameter"] + entries["unknown"]
    return Coverage(
        matrices=len(measured),
        parameters=entries["measured"],
        counted=entries["parameter"],
        unknown=entries["unknown"],
        aside=entries["aside"],
        entries=of + entries["aside"],
        of=of,
        left_out=len(infos) - len(covered),
    )


def _roles(read: ReadNetwork, checkpoint: Checkpoint) -> dict[str, str]:
    """What each stored tensor is where no measured layer reads it."""
    infos = checkpoint.tensors
    if read.structure == "chain":
        roles = {name: read.roles.get(name, "parameter") for name in infos}
    else:
        layers = read.network.layers.values()
        needed = {name for layer in layers for name in tensor_names(layer, infos)}
        roles = {name: "parameter" if name in needed else "aside" for name in infos}
    return {**roles, **dict.fromkeys(read.tied, "aside")}
