"""The linear layers that give the logits, and whether their weights alone make them random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

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


def adds_logits(network: Network, moving: Collection[str]) -> bool:
    """Whether the logits are sums of matrices that move, times inputs that do not, and no more.

    Then independent Gaussian rows of these matrices make the logits of an example independent
    Gaussians.

    Args:
        network: traced.
        moving: names of weights and biases that are random; the others are fixed.
    """
    by_name = {node.name: node for node in network.nodes}
    calls = Counter(node.layer for node in network.nodes if node.layer is not None)
    moved = {
        name
        for name, layer in network.layers.items()
        if {layer.weight_name, layer.bias_name} & set(moving)
    }

    def adds(name: str) -> bool:
        node = by_name[name]
        if node.layer is not None:
            return node.layer in moved and is_matrix(node.layer) and is_fixed(node.inputs)
        is_sum = node.kind == "sum" and all(one == 1 for one in node.coefficients_upper)
        return (is_sum or node.kind == "identity") and all(adds(one) for one in node.inputs)

    def is_matrix(name: str) -> bool:
        layer = network.layers[name]
        is_shared = sum(one.module == layer.module for one in network.layers.values()) > 1
        is_vector = len(layer.output_shape) == 1 and kind_of(layer).operator == "matrix"
        return is_vector and calls[name] == 1 and not is_shared

    def is_fixed(names: Sequence[str]) -> bool:
        seen, open_nodes = set(names), list(names)
        while open_nodes:
            node = by_name[open_nodes.pop()]
            if node.layer in moved:
                return False
            open_nodes += set(node.inputs) - seen
            seen |= set(node.inputs)
        return True

    return bool(moved) and adds(network.nodes[-1].name)
