"""A state dict without its architecture: its weights, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.errors import CheckpointError
from dlgen_cli.networks.graph import GraphLayer, Network
from dlgen_cli.networks.layouts.kinds import joined, layers_of, no_chain
from dlgen_cli.networks.layouts.leftovers import is_weight_shaped, leftover, refusal
from dlgen_cli.networks.layouts.stacks import is_undecided
from dlgen_cli.networks.layouts.ties import find_ties
from dlgen_cli.networks.layouts.weight import Leftover, Role, Weight
from dlgen_cli.networks.layouts.weights import find_weights
from dlgen_cli.networks.read_network import ReadNetwork
from dlgen_cli.networks.tensors import CheckpointTensors
from dlgen_cli.records import GraphNode, SkippedLayer

#: What stands between two layers of a chain; its Lipschitz constant is the user's.
ASSUMED_ACTIVATION = "assumed activation"
_UNDECIDED = Leftover(
    reason="three axes that may be a kernel or a stack of matrices: which is not on record",
    role="unknown",
)


def read_chain(
    checkpoint: Checkpoint, *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> ReadNetwork:
    """Take the weights of a checkpoint as a chain, in the order of its tensors.

    Weights that are stored in several tensors are put together, gates and fused projections cut
    apart, and tied weights taken once. A vector ``X.bias`` next to ``X.weight`` is that map's
    bias. A tensor of three to five axes is a convolution with stride, dilation and groups 1 and
    zero padding, which bounds every zero-padded one from above, and its adjoint, the transposed
    one. Everything else is skipped with its reason. Where the kinds of the layers tell that they
    are no chain, the obstacle says so.

    Args:
        checkpoint: named tensors.
        include: glob patterns; where given, a layer must match one.
        exclude: glob patterns of layers to leave out.

    Raises:
        CheckpointError: no layer is left.
    """
    infos = checkpoint.tensors
    weights = find_weights(checkpoint)
    leftovers = dict(weights.leftovers)
    shaped = []
    for weight in weights.found:
        if _is_shaped(weight, checkpoint):
            if is_undecided(weight.name, weight.shape, infos):
                leftovers |= dict.fromkeys(weight.recipe.names, _UNDECIDED)
            else:
                shaped.append(weight)
    ties = find_ties(shaped, checkpoint)
    shapes = {weight.name: weight.shape for weight in shaped}
    layers: list[GraphLayer] = []
    for weight in shaped:
        for layer in layers_of(weight, infos, shapes) if weight.name not in ties else ():
            reason = left_out_by(layer.name, include, exclude)
            if reason is None:
                layers.append(_after(layers[-1:], layer))
            else:
                leftovers |= dict.fromkeys(_stored_names(layer), Leftover(reason=reason))
    skipped, counters, roles = _unread(checkpoint, layers, ties, leftovers)
    if not layers:
        raise _no_matrix(checkpoint, skipped)
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
        tied=ties,
        roles=roles,
        applied={
            one.name: one.recipe for one in weights.found if one.recipe.form in {"scaled", "masked"}
        },
        obstacle=no_chain(layers) or _tied(ties) or _misfit(layers) or _unknown_maps(layers),
    )


def _unread(
    checkpoint: Checkpoint,
    layers: Sequence[GraphLayer],
    ties: Mapping[str, str],
    leftovers: Mapping[str, Leftover],
) -> tuple[list[SkippedLayer], list[SkippedLayer], dict[str, Role]]:
    """What no layer reads: what a bound needs, what it does not, and the role of each."""
    infos = checkpoint.tensors
    read = {name for layer in layers for name in _stored_names(layer)}
    skipped: list[SkippedLayer] = []
    counters: list[SkippedLayer] = []
    roles: dict[str, Role] = {}
    for name, info in infos.items():
        if name in ties and name not in read:
            reason = f"tied: the same entries as {ties[name]}, counted there"
            counters.append(SkippedLayer(name=name, reason=reason))
        elif name not in read:
            found = leftovers.get(name) or leftover(info, infos)
            roles[name] = found.role
            counts = found.role == "aside" and not info.is_floating
            (counters if counts else skipped).append(SkippedLayer(name=name, reason=found.reason))
    return skipped, counters, roles


def _no_matrix(checkpoint: Checkpoint, skipped: Sequence[SkippedLayer]) -> CheckpointError:
    """A refusal that names the largest tensor: it is the likeliest to hold a weight."""
    infos = checkpoint.tensors
    named = [one for one in skipped if one.name in infos]
    largest = max(named, key=lambda one: infos[one.name].numel, default=None)
    return CheckpointError(
        f"{checkpoint.path} holds no matrix to audit among {len(infos)} tensors"
        + (f" (the largest: {largest.name}, {largest.reason})." if largest else "."),
        remedy="Check --include and --exclude, or pass a checkpoint with weights.",
    )


def _after(before: Sequence[GraphLayer], layer: GraphLayer) -> GraphLayer:
    """A kernel of one input channel after as many channels as it has outputs is depthwise."""
    channels = layer.weight_shape[0]
    if not before or not layer.stride or layer.transposed or channels == 1:
        return layer
    is_inside = before[0].name.partition(".")[0] == layer.name.partition(".")[0]
    gives = before[0].output_shape[0]
    if layer.weight_shape[1] != 1 or gives != channels or not is_inside:
        return layer
    note = f"depthwise, as it stands after the {channels} channels of {before[0].name}"
    return replace(layer, groups=channels, input_shape=(channels,), note=joined(layer.note, note))


def _is_shaped(weight: Weight, checkpoint: Checkpoint) -> bool:
    info = checkpoint.tensors.get(weight.name)
    if info is None or weight.recipe.form != "plain" or weight.note:  # made of several tensors
        return 2 <= len(weight.shape) <= 5
    return is_weight_shaped(info) and refusal(info, checkpoint.tensors) is None


def _stored_names(layer: GraphLayer) -> tuple[str, ...]:
    if layer.recipe is not None:
        return layer.recipe.names
    return (layer.weight_name, *([layer.bias_name] if layer.bias_name else []))


def left_out_by(name: str, include: Sequence[str], exclude: Sequence[str]) -> str | None:
    """Which of the options leaves a layer out, as a phrase; None where both keep it.

    Args:
        name: of the layer.
        include: patterns of which one must match; all match where there are none.
        exclude: patterns of which none may match.
    """
    if include and not any(fnmatchcase(name, pattern) for pattern in include):
        return "left out by --include"
    if any(fnmatchcase(name, pattern) for pattern in exclude):
        return "left out by --exclude"
    return None


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


def _tied(ties: dict[str, str]) -> str | None:
    """A weight with two names, which may be applied twice."""
    for name, first in ties.items():
        return f"{name} has the same entries as {first}: where it is applied is not on record."
    return None


def _misfit(layers: Sequence[GraphLayer]) -> str | None:
    """The first pair of layers whose shapes cannot follow each other."""
    for one, two in pairwise(layers):
        gives, takes = one.output_shape[0], two.input_shape[0]
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
