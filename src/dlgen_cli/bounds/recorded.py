"""What a compression bound leaves in its terms so that it can be evaluated again from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dlgen_cli.bounds.arithmetic import with_logarithm
from dlgen_cli.bounds.propagation import LayerNorms, propagate
from dlgen_cli.records import GraphNode

if TYPE_CHECKING:
    from dlgen_cli.bounds.compression import CompressionSetting, LayeredNetwork

#: What propagation does not read.
_DESCRIPTIONS = {"shape", "reason"}
_DEFAULTS = {one.name: one.default for one in fields(GraphNode) if one.name not in _DESCRIPTIONS}


def setting_terms(setting: CompressionSetting) -> dict[str, Any]:
    """The numbers that every compression bound shares."""
    return {
        "bits_per_parameter": setting.bits_per_parameter,
        "examples": setting.examples,
        "delta": setting.delta,
        "loss_lipschitz": setting.loss_lipschitz,
        "radius": setting.radius,
    }


def network_terms(
    network: LayeredNetwork, norms: Mapping[str, LayerNorms], radius: float
) -> dict[str, Any]:
    """The graph and the norms that the distance is propagated from.

    Args:
        network: graph and layers.
        norms: of every layer against the compressed one.
        radius: bounds the norm of the input.

    Returns:
        ``network``: ``nodes`` (fields at their defaults left out), ``layers`` with sizes and
        norms, as plain numbers, and ``output_norm``, the bound on ``||h'(x)||`` that they give.
    """
    output = propagate(network.nodes, norms, radius)
    return {
        "network": {
            **with_logarithm("output_norm", output.radius),
            "nodes": _node_rows(network.nodes),
            "layers": [
                {
                    "name": map_.name,
                    "rows": map_.rows,
                    "columns": map_.columns,
                    "bias_parameters": map_.bias_parameters,
                    "is_diagonal": map_.is_diagonal,
                    **{
                        one.name: float(getattr(norms[map_.name], one.name))
                        for one in fields(LayerNorms)
                    },
                }
                for map_ in network.maps
            ],
        }
    }


def _node_rows(nodes: Sequence[GraphNode]) -> list[dict[str, Any]]:
    return [
        {
            name: value
            for name, default in _DEFAULTS.items()
            if (value := getattr(node, name)) != default
        }
        for node in nodes
    ]
