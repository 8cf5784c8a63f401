"""A state dict taken as a chain of matrices and kernels, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from dlgen_cli.checkpoints import Checkpoint, TensorInfo
from dlgen_cli.errors import CheckpointError
from dlgen_cli.networks.graph import GraphLayer, Network
from dlgen_cli.networks.reading import ReadNetwork
from dlgen_cli.networks.tensors import CheckpointTensors
from dlgen_cli.records import GraphNode, SkippedLayer

#: What stands between two layers of a chain; its Lipschitz constant is the user's.
ASSUMED_ACTIVATION = "assumed activation"


def read_chain(
    checkpoint: Checkpoint, *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> ReadNetwork:
    """Take the matrices and kernels of a checkpoint as a chain, in the order of its tensors.

    A vector ``X.bias`` next to a matrix ``X.weight`` is that map's bias. A tensor of three to five
    axes is a convolution with stride, dilation and groups 1 and zero padding, which bounds every
    zero-padded one from above. Everything else is skipped with its reason.

    Args:
        checkpoint: named tensors.
        include: glob patterns; where given, a layer must match one.
        exclude: glob patterns of layers to leave out.

    Raises:
        CheckpointError: no layer is left.
    """
    layers: list[GraphLayer] = []
    skipped: list[SkippedLayer] = []
    counters: list[SkippedLayer] = []
    for info in checkpoint.tensors.values():
        reason = _reason_to_skip(info, include, exclude)
        if not info.is_floating and not info.shape:
            counters.append(SkippedLayer(name=info.name, reason="a counter, no weight"))
        elif not info.is_floating:
            reason = "not dense floating point: it may be a weight"
            skipped.append(SkippedLayer(name=info.name, reason=reason))
        elif reason is None:
            layers.append(_layer(info, checkpoint))
        else:
            skipped.append(SkippedLayer(name=info.name, reason=reason))
    biases = {layer.bias_name for layer in layers}
    skipped = [one for one in skipped if one.name not in biases]
    if not layers:
        raise CheckpointError(
            f"{checkpoint.path} holds no matrix to audit among {len(checkpoint.tensors)} tensors"
            + (f" (the first: {skipped[0].name}, {skipped[0].reason})." if skipped else "."),
            remedy="Check --include and --exclude, or pass a checkpoint with weights.",
        )
    return ReadNetwork(
        network=Network(
            nodes=_nodes(layers),
            layers={layer.name: layer for layer in layers},
            input_shape=layers[0].input_shape,
            unused=(),
        ),
        structure="chain",
        architecture=checkpoint.architecture,
        tensors=CheckpointTensors(checkpoint),
        skipped=skipped,
        counters=counters,
        obstacle=_misfit(layers) or _unknown_maps(layers),
    )


def _reason_to_skip(info: TensorInfo, include: Sequence[str], exclude: Sequence[str]) -> str | None:
    if info.numel == 0:
        return f"has no entries, shape {info.shape}"
    if not 2 <= len(info.shape) <= 5 or (not info.name.endswith("weight") and len(info.shape) > 2):
        kind = ("scalar", "vector", "matrix", "tensor")[min(len(info.shape), 3)]
        sizes = "×".join(map(str, info.shape))
        return f"{kind} {sizes}".strip() + ": no layer's weight"
    if include and not any(fnmatchcase(info.name, pattern) for pattern in include):
        return "left out by --include"
    if any(fnmatchcase(info.name, pattern) for pattern in exclude):
        return "left out by --exclude"
    return None


def _layer(info: TensorInfo, checkpoint: Checkpoint) -> GraphLayer:
    module = info.name.removesuffix(".weight")
    bias = checkpoint.tensors.get(f"{module}.bias") if module != info.name else None
    axes = len(info.shape) - 2
    return GraphLayer(
        name=info.name,
        module=module,
        kind=f"conv{axes}d" if axes else "linear",
        weight_shape=info.shape,
        has_own_bias=bias is not None and bias.is_floating and bias.shape == (info.shape[0],),
        input_shape=(info.shape[1],),
        output_shape=(info.shape[0],),
        stride=(1,) * axes,
        padding=(0,) * axes,
        dilation=(1,) * axes,
    )


def _nodes(layers: Sequence[GraphLayer]) -> list[GraphNode]:
    nodes = [GraphNode(name="input", kind="input", operation="input")]
    for layer in layers:
        if len(nodes) > 1:
            nodes.append(
                GraphNode(
                    name=f"before {layer.name}",
                    kind="lipschitz",
                    operation=ASSUMED_ACTIVATION,
                    inputs=(nodes[-1].name,),
                )
            )
        nodes.append(
            GraphNode(
                name=f"apply {layer.name}",
                kind="linear",
                operation=layer.kind,
                inputs=(nodes[-1].name,),
                layer=layer.name,
            )
        )
    return nodes


def _misfit(layers: Sequence[GraphLayer]) -> str | None:
    """The first pair of layers whose shapes cannot follow each other."""
    for one, two in pairwise(layers):
        gives, takes = one.weight_shape[0], two.weight_shape[1]
        is_grouped = bool(two.stride) and gives % takes == 0
        is_flattened = bool(one.stride) and not two.stride and takes % gives == 0
        if gives != takes and not is_grouped and not is_flattened:
            return (
                f"Shapes do not fit: {one.name} {one.weight_shape} gives {gives} features, "
                f"{two.name} {two.weight_shape} takes {takes}."
            )
    return None


def _unknown_maps(layers: Sequence[GraphLayer]) -> str | None:
    """A bias whose norm depends on the size of a map that nobody knows."""
    for layer in layers:
        if layer.stride and layer.has_own_bias:
            return (
                f"The bias of {layer.name} stands at every position of a map whose size is not "
                "known: give --arch and --input-shape."
            )
    return None
