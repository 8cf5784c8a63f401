"""A graph cut before its first moving layer: what comes before is the same for all predictors."""

from __future__ import annotations

from collections.abc import Collection

from torch import fx


def split(
    module: fx.GraphModule, moving: Collection[str]
) -> tuple[fx.GraphModule, fx.GraphModule] | None:
    """Cut a graph before the first call of a module that moves.

    Args:
        module: of one input; its calls stay in order.
        moving: paths of modules.

    Returns:
        The part before, which gives a tuple of the values that the rest reads, and the rest, which
        takes them. None where the first part would compute nothing.
    """
    nodes = list(module.graph.nodes)
    first = next(
        (
            index
            for index, node in enumerate(nodes)
            if node.op == "output" or (node.op == "call_module" and str(node.target) in moving)
        ),
    )
    before, after = nodes[:first], nodes[first:]
    if all(node.op in {"placeholder", "get_attr"} for node in before):
        return None
    later = set(after)
    handed = [node for node in before if any(user in later for user in node.users)]
    backbone = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in before:
        copies[node] = backbone.node_copy(node, copies.__getitem__)
    backbone.output(tuple(copies[node] for node in handed))
    head = fx.Graph()
    copies = {node: head.placeholder(node.name) for node in handed}
    for node in after:
        copies[node] = head.node_copy(node, copies.__getitem__)
    return fx.GraphModule(module, backbone).eval(), fx.GraphModule(module, head).eval()
