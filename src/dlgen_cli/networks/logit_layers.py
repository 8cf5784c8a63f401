"""The linear layers that give the logits, and whether their weights alone make them random."""

from __future__ import annotations

from collections.abc import Collection

from dlgen_cli.networks.graph import GraphLayer, Network
from dlgen_cli.networks.layer_kinds import kind_of

#: Nodes without weights that leave a linear map of weights linear.
_LINEAR_KINDS = {"sum", "scale", "identity"}


def logit_layers(network: Network) -> list[GraphLayer]:
    """The linear layers whose outputs are the logits, or are added up to them."""
    by_name = {node.name: node for node in network.nodes}
    found, seen, open_nodes = [], set(), [network.nodes[-1].name]
    while open_nodes:
        node = by_name[open_nodes.pop()]
        if node.name in seen:
            continue
        seen.add(node.name)
        if node.layer is not None:
            layer = network.layers[node.layer]
            found += [layer] if kind_of(layer).operator == "matrix" else []
        elif node.kind in _LINEAR_KINDS:
            open_nodes += list(node.inputs)
    return found


def logit_sum(network: Network, moving: Collection[str]) -> frozenset[str] | None:
    """The matrices that move and whose plain sum the logits are, where they are one.

    Given what these matrices read, independent Gaussian rows of them make the logits of an example
    independent Gaussians.

    Args:
        network: traced.
        moving: names of weights and biases that are random; the others are fixed.

    Returns:
        Names of layers; None where something else is done on the way to the logits, or where one
        of the matrices does not move, is called twice or reads another.
    """
    by_name = {node.name: node for node in network.nodes}
    last: set[str] = set()

    def adds(name: str) -> bool:
        node = by_name[name]
        if node.layer is not None:
            last.add(node.layer)
            return _is_single(network, node.layer, moving)
        is_sum = node.kind == "sum" and node.operation == "add"
        is_plain = is_sum and all(one == 1 for one in node.coefficients_upper)
        return (is_plain or node.kind == "identity") and all(adds(one) for one in node.inputs)

    if not adds(network.nodes[-1].name):
        return None
    open_nodes = [one for node in network.nodes if node.layer in last for one in node.inputs]
    seen = set(open_nodes)
    while open_nodes:
        node = by_name[open_nodes.pop()]
        if node.layer in last:
            return None
        open_nodes += set(node.inputs) - seen
        seen |= set(node.inputs)
    return frozenset(last)


def adds_logits(network: Network, moving: Collection[str]) -> bool:
    """Whether all that moves is the matrices of a `logit_sum`: their inputs are fixed.

    Args:
        network: traced.
        moving: names of weights and biases that are random; the others are fixed.
    """
    moved = {
        name
        for name, layer in network.layers.items()
        if {layer.weight_name, layer.bias_name} & set(moving)
    }
    return bool(moved) and logit_sum(network, moving) == frozenset(moved)


def _is_single(network: Network, name: str, moving: Collection[str]) -> bool:
    """Whether a layer is a matrix that moves and is called once, on vectors."""
    layer = network.layers[name]
    calls = [network.layers[one.layer] for one in network.nodes if one.layer is not None]
    return (
        bool({layer.weight_name, layer.bias_name} & set(moving))
        and len(layer.output_shape) == 1
        and kind_of(layer).operator == "matrix"
        and sum(one.module == layer.module for one in calls) == 1
    )
