"""From trained coordinates back to a state dict with the architecture's own names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dlgen_cli.networks import GraphLayer, Network


def unfolded(
    network: Network, anchor: Mapping[str, Tensor], means: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The anchor's state dict with trained coordinates in the place of its own.

    Where a weight was trained its batch normalization becomes the identity with the folded bias;
    folding rounds once more, so a trained coordinate may come out one unit in the last place
    away. One that was not trained comes out bit for bit as the anchor's.

    Args:
        network: traced.
        anchor: its state dict.
        means: trained coordinates by name, see `dlgen_cli.predictors.coordinates`.
    """
    from dlgen_cli.predictors import coordinates

    state = {name: tensor.clone() for name, tensor in anchor.items()}
    folded = coordinates(network, anchor)
    for layer in network.layers.values():
        weight, bias = means.get(layer.weight_name), means.get(layer.bias_name or "")
        if weight is not None:
            _replace_weight(state, layer, weight, folded)
        if bias is not None and layer.bias_name is not None:
            _replace_bias(state, layer, bias)
    return state


def _replace_weight(
    state: dict[str, Tensor], layer: GraphLayer, weight: Tensor, folded: Mapping[str, Tensor]
) -> None:
    state[layer.weight_name] = weight.clone()
    norm = layer.batch_norm
    if norm is None or layer.bias_name is None:
        return
    ones = torch.ones(norm.features)
    state[f"{norm.module}.running_mean"] = torch.zeros(norm.features)
    state[f"{norm.module}.running_var"] = ones
    state[f"{norm.module}.weight"] = ones * math.sqrt(1 + norm.epsilon)
    state[f"{norm.module}.bias"] = folded[layer.bias_name].clone()
    if layer.has_own_bias:
        state[layer.bias_name] = torch.zeros(norm.features)


def _replace_bias(state: dict[str, Tensor], layer: GraphLayer, bias: Tensor) -> None:
    norm = layer.batch_norm
    if norm is None:
        state[layer.bias_name or ""] = bias.clone()
        return
    path = norm.module
    factor = state[f"{path}.weight"].double() / torch.sqrt(
        state[f"{path}.running_var"].double() + norm.epsilon
    )
    start = -state[f"{path}.running_mean"].double()
    if layer.has_own_bias:
        start = start + state[layer.bias_name or ""].double()
    state[f"{path}.bias"] = (bias.double() - factor * start).float()
