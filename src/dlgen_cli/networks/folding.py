"""Batch normalization folded into the layer before it; weight normalization resolved.

The folded network, its tensors in float64, is the hypothesis that is audited. Folding itself
rounds: `EffectiveLayer.rounding_upper` says by how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dlgen_cli.errors import TensorError
from dlgen_cli.networks.graph import BatchNorm, GraphLayer, Network
from dlgen_cli.networks.layouts import Recipe
from dlgen_cli.networks.layouts.evaluation import evaluate
from dlgen_cli.networks.reparametrization import (
    UNIT_ROUNDOFF,
    resolve_weight_norm,
    weight_norm_names,
    weight_norm_roundings,
)
from dlgen_cli.networks.tensors import read_tensor
from dlgen_cli.records import GraphNode


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectiveLayer:
    """A layer with the tensors that it really applies.

    Attributes:
        layer: its facts.
        weight: of shape ``layer.weight_shape``; in its stored type, not copied, where it is applied
            as it is stored, else float64; without entries where there are ``factors``.
        bias: float64, ``layer.channels`` entries; None without one.
        rounding_upper: the error of ``weight`` is at most this share of its Frobenius norm, in the
            same norm; but for multiplied factors every entry is within this relative error.
        bias_rounding_upper: the error of ``bias``, in the 2-norm: of a folded one it is a share of
            the parts that it is the sum of, which may cancel.
        factors: ``(B, A)`` of a weight ``B A`` that is never formed; None elsewhere. The relative
            error is then that of the entries of B.
        stored_entries: of the factors that the weight is made of, where they are fewer than its
            own entries; None elsewhere.
    """

    layer: GraphLayer
    weight: Tensor
    bias: Tensor | None
    rounding_upper: float
    bias_rounding_upper: float = 0.0
    factors: tuple[Tensor, Tensor] | None = None
    stored_entries: int | None = None


def effective_layer(layer: GraphLayer, tensors: Mapping[str, Tensor]) -> EffectiveLayer:
    """Compute the weight and the bias of one layer from a state dict.

    Args:
        layer: of a traced network.
        tensors: the network's own state dict or another one with its names, an anchor's for
            example. A weight may stand there as it is or under either form of weight
            normalization.

    Raises:
        TensorError: a tensor is missing or has another shape, or a variance is not positive.
    """
    if layer.recipe is not None:
        return _made_layer(layer, layer.recipe, tensors)

    norm = layer.batch_norm
    if norm is not None and layer.is_batch_norm:
        scale, mean, shift = _normalization(norm, tensors)
        rounding = 8 * UNIT_ROUNDOFF
        return EffectiveLayer(
            layer=layer,
            weight=scale,
            bias=shift - mean * scale,
            rounding_upper=rounding,
            bias_rounding_upper=rounding * _size_of_parts(mean * scale, shift),
        )
    weight, roundings = _own_weight(layer, tensors)
    _require_shape(layer.weight_name, weight, layer.weight_shape)
    bias = _read(layer.own_bias_name, tensors) if layer.has_own_bias else None
    if bias is not None:
        _require_shape(layer.own_bias_name, bias, layer.bias_shape)
    bias_rounding = 0.0
    if norm is not None:
        scale, mean, shift = _normalization(norm, tensors)
        weight = weight.to(torch.float64) * _along_outputs(scale, layer)
        moved = (-mean if bias is None else bias - mean) * scale
        bias = moved + shift
        bias_rounding = 8 * UNIT_ROUNDOFF * _size_of_parts(moved, shift)
        roundings += 8
    return EffectiveLayer(
        layer=layer,
        weight=weight,
        bias=bias,
        rounding_upper=roundings * UNIT_ROUNDOFF,
        bias_rounding_upper=bias_rounding,
    )


def _size_of_parts(left: Tensor, right: Tensor) -> float:
    """``|| |left| + |right| ||_2``, rounded upward."""
    return float(torch.linalg.vector_norm(left.abs() + right.abs())) * (1 + 2.0**-30)


def _made_layer(layer: GraphLayer, recipe: Recipe, tensors: Mapping[str, Tensor]) -> EffectiveLayer:
    made = evaluate(recipe, tensors)
    if made.factors is None:
        _require_shape(layer.name, made.weight, layer.weight_shape)
    if made.bias is not None:
        _require_shape(f"{layer.module}.bias", made.bias, (layer.channels,))
    return EffectiveLayer(
        layer=layer,
        weight=made.weight,
        bias=made.bias,
        rounding_upper=made.rounding_upper,
        bias_rounding_upper=0.0
        if made.bias is None
        else made.rounding_upper * _size_of_parts(made.bias, torch.zeros_like(made.bias)),
        factors=made.factors,
        stored_entries=made.stored_entries,
    )


def effective_tensors(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All effective tensors of a network, from its own state dict or from an anchor's.

    Args:
        network: traced.
        tensors: a state dict with the network's names.

    Returns:
        Weights and biases in float64 by `GraphLayer.weight_name` and `GraphLayer.bias_name`;
        ``network.parameters`` entries in all.

    Raises:
        TensorError: see `effective_layer`.
    """
    found: dict[str, Tensor] = {}
    for layer in network.layers.values():
        if layer.weight_name in found:
            continue
        effective = effective_layer(layer, tensors)
        found[layer.weight_name] = effective.weight.to(torch.float64)
        if layer.bias_name is not None and effective.bias is not None:
            found[layer.bias_name] = effective.bias
    return found


def fold(
    nodes: Sequence[GraphNode], layers: Mapping[str, GraphLayer]
) -> tuple[list[GraphNode], dict[str, GraphLayer]]:
    """Fold every batch normalization whose only input is a layer that nothing else reads.

    One that cannot be folded stays a diagonal layer of its own.

    Args:
        nodes: in the order of evaluation; the last is the output.
        layers: by name; every batch normalization is one of its own.

    Returns:
        The nodes without those that were folded, and the layers that are left.
    """
    by_name = {node.name: node for node in nodes}
    readers = Counter(name for node in nodes for name in node.inputs)
    calls = Counter(layers[node.layer].module for node in nodes if node.layer is not None)
    replaced: dict[str, str] = {}
    folded = dict(layers)
    for node in nodes:
        if node.layer is None or not layers[node.layer].is_batch_norm:
            continue
        before = by_name[node.inputs[0]]
        if before.kind != "linear" or before.layer is None or readers[before.name] != 1:
            continue
        layer, norm = layers[before.layer], layers[node.layer].batch_norm
        is_per_channel = bool(layer.stride) or len(layer.output_shape) == 1
        if calls[layer.module] == 1 and is_per_channel:
            folded[layer.name] = replace(layer, batch_norm=norm)
            replaced[node.name] = before.name
    kept = [
        replace(node, inputs=tuple(replaced.get(name, name) for name in node.inputs))
        for node in nodes
        if node.name not in replaced
    ]
    used = {node.layer for node in kept}
    return kept, {name: layer for name, layer in folded.items() if name in used}


def tensor_names(layer: GraphLayer, stored: Container[str]) -> set[str]:
    """The tensors among ``stored`` that a layer reads."""
    if layer.recipe is not None:
        return {name for name in layer.recipe.names if name in stored}
    wanted = set(layer.batch_norm.tensor_names) if layer.batch_norm else set()
    if not layer.is_batch_norm:
        wanted |= {layer.weight_name, layer.own_bias_name}
        wanted.update(*weight_norm_names(layer.weight_name))
    return {name for name in wanted if name in stored}


def _read(name: str, tensors: Mapping[str, Tensor]) -> Tensor:

    return read_tensor(name, tensors).to(torch.float64)


def _require_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise TensorError(
            f"Tensor {name} has shape {tuple(tensor.shape)}; {shape} was expected.",
            remedy="Give a state dict of the same architecture.",
        )


def _own_weight(layer: GraphLayer, tensors: Mapping[str, Tensor]) -> tuple[Tensor, int]:
    """The module's weight, and how many roundings each of its entries has seen."""
    for g_name, v_name in weight_norm_names(layer.weight_name):
        if g_name in tensors:
            g, v = _read(g_name, tensors), _read(v_name, tensors)
            return resolve_weight_norm(g, v), weight_norm_roundings(g, v)
    return read_tensor(layer.weight_name, tensors), 0


def _normalization(norm: BatchNorm, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """``g / sqrt(var + epsilon)``, ``mean`` and ``b``."""
    parts = [_read(name, tensors) for name in norm.tensor_names]
    for name, part in zip(norm.tensor_names, parts, strict=True):
        _require_shape(name, part, (norm.features,))
    mean, variance = parts[:2]
    spread = variance + norm.epsilon
    if not bool((spread > 0).all()):
        raise TensorError(
            f"{norm.module}.running_var has an entry of {float(variance.min())}; with epsilon "
            f"{norm.epsilon} a positive number was expected.",
            remedy="Take a checkpoint whose batch normalization has seen data.",
        )
    if norm.affine:
        return parts[2] / spread.sqrt(), mean, parts[3]
    return spread.sqrt().reciprocal(), mean, torch.zeros_like(mean)


def _along_outputs(scale: Tensor, layer: GraphLayer) -> Tensor:
    """A factor for each output channel, shaped to multiply the stored weight."""
    spatial = (1,) * (len(layer.weight_shape) - 2)
    if not layer.transposed:
        return scale.reshape(-1, 1, *spatial)
    per_group = scale.reshape(layer.groups, 1, -1)
    inputs = layer.weight_shape[0] // layer.groups
    spread = per_group.expand(layer.groups, inputs, per_group.shape[2])
    return spread.reshape(layer.weight_shape[0], -1, *spatial)
