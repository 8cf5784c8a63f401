"""A state dict taken as a chain of matrices, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from dlgen_cli.checkpoints import Checkpoint, TensorInfo
from dlgen_cli.errors import CheckpointError
from dlgen_cli.records import SkippedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLayer:
    """One map ``x -> W x + c`` of the network.

    Attributes:
        name: name of the weight tensor.
        bias_name: name of the bias tensor; None without one.
        kind: ``linear``.
        shape: ``(o, i)``.
    """

    name: str
    bias_name: str | None
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The matrices of a network, in the order in which they are taken.

    Attributes:
        layers: at least one.
        skipped: floating-point tensors that no matrix of the chain accounts for, with reasons.
        counters: tensors that are no weights (integers), with reasons.
        known: whether the architecture is on record, so that the order is a fact.
        misfit: the first pair of layers whose shapes do not fit; None where all fit.
    """

    layers: Sequence[LinearLayer]
    skipped: Sequence[SkippedLayer]
    counters: Sequence[SkippedLayer]
    known: bool
    misfit: tuple[LinearLayer, LinearLayer] | None


def read_chain(
    checkpoint: Checkpoint, *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Chain:
    """Take the matrices of a checkpoint as a chain, in the order of its tensors.

    A vector ``X.bias`` next to a matrix ``X.weight`` is that map's bias. Everything else is
    skipped with its reason.

    Args:
        checkpoint: named tensors.
        include: glob patterns; where given, a matrix must match one.
        exclude: glob patterns of matrices to leave out.

    Raises:
        CheckpointError: no matrix is left.
    """
    layers: list[LinearLayer] = []
    skipped: list[SkippedLayer] = []
    counters: list[SkippedLayer] = []
    biases: set[str] = set()
    for info in checkpoint.tensors.values():
        reason = _reason_to_skip(info, include, exclude)
        if not info.is_floating:
            counters.append(SkippedLayer(name=info.name, reason="not floating point: no weight"))
        elif reason is None:
            layer = _linear(info, checkpoint)
            layers.append(layer)
            if layer.bias_name is not None:
                biases.add(layer.bias_name)
        else:
            skipped.append(SkippedLayer(name=info.name, reason=reason))
    skipped = [one for one in skipped if one.name not in biases]
    if not layers:
        raise CheckpointError(
            f"{checkpoint.path} holds no matrix to audit among {len(checkpoint.tensors)} tensors"
            + (f" (the first: {skipped[0].name}, {skipped[0].reason})." if skipped else "."),
            remedy="Check --include and --exclude, or pass a checkpoint with weights.",
        )
    misfit = next(
        ((one, two) for one, two in pairwise(layers) if one.shape[0] != two.shape[1]), None
    )
    known = checkpoint.architecture == "mlp" and misfit is None and not skipped
    return Chain(layers=layers, skipped=skipped, counters=counters, known=known, misfit=misfit)


def _reason_to_skip(info: TensorInfo, include: Sequence[str], exclude: Sequence[str]) -> str | None:
    if info.numel == 0:
        return f"has no entries, shape {info.shape}"
    if len(info.shape) != 2:
        kind = ("scalar", "vector", "", "tensor")[min(len(info.shape), 3)]
        return f"{kind} {'×'.join(map(str, info.shape))}: no dense matrix".replace(" :", ":")
    if include and not any(fnmatchcase(info.name, pattern) for pattern in include):
        return "left out by --include"
    if any(fnmatchcase(info.name, pattern) for pattern in exclude):
        return "left out by --exclude"
    return None


def _linear(info: TensorInfo, checkpoint: Checkpoint) -> LinearLayer:
    stem = info.name.removesuffix("weight")
    bias = checkpoint.tensors.get(f"{stem}bias") if stem != info.name else None
    fits = bias is not None and bias.is_floating and bias.shape == (info.shape[0],)
    return LinearLayer(
        name=info.name,
        bias_name=f"{stem}bias" if fits else None,
        kind="linear",
        shape=info.shape,
    )
