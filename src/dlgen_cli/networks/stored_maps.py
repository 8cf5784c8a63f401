"""Layers that a function applies with stored tensors, and stored tensors that are values.

A function such as ``functional.linear`` is the layer that its module would be where its weight is
a tensor of the state dict as it stands there. A weight that is computed first is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dlgen_cli.networks.calls import Activation, Call, NoRuleError
from dlgen_cli.networks.graph import BatchNorm, GraphLayer
from dlgen_cli.networks.normalizations import read_normalization
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.networks.selection import INFINITE
from dlgen_cli.records import GraphNode

_COMPUTED = "its weight is no parameter but computed from others: no rule"


def read_function(call: Call) -> GraphLayer | None:
    """The layer that a function applies; None where it applies none.

    Raises:
        NoRuleError: its weight is not one that is stored, or its geometry has no rule.
    """
    read = _READERS.get(call.operation)
    if read is not None:
        return read(call)
    how = read_normalization(call)
    if how is not None and call.setting("weight", None) is None:
        return None
    if call.operation not in {"linear", "prelu"} and how is None and not _axes(call.operation):
        return None
    given = _parts(call)
    if how is not None:
        return GraphLayer(kind=how.form, normalization=how, **given)
    if _axes(call.operation):
        return _convolution(call, given)
    return GraphLayer(kind=call.operation, **given)


def _parts(call: Call) -> dict[str, Any]:
    """Names and shapes of a weight and a bias, and of what they are applied to."""
    name, shape = _stored(call.setting("weight", None))
    bias = call.setting("bias", None)
    return {
        "name": name,
        "module": name,
        "stored_weight": name,
        "weight_shape": shape,
        "has_own_bias": bias is not None,
        "stored_bias": None if bias is None else _stored(bias)[0],
        "input_shape": _first(call).example_shape,
        "output_shape": call.example_shape,
    }


def _first(call: Call) -> Activation:
    first = call.args[0] if call.args else call.kwargs.get("input")
    if not isinstance(first, Activation) or first.shape is None:
        raise NoRuleError("it is applied to something else than one activation")
    return first


def _stored(value: Any) -> tuple[str, tuple[int, ...]]:
    if not isinstance(value, Activation) or value.stored is None:
        raise NoRuleError(_COMPUTED)
    return value.stored, value.shape or ()


def _axes(operation: str) -> int:
    """Spatial axes of a convolution; 0 for another operation."""
    plain = operation.removeprefix("convtranspose").removeprefix("conv")
    return int(plain[0]) if plain in {"1d", "2d", "3d"} and plain != operation else 0


def _convolution(call: Call, given: dict[str, Any]) -> GraphLayer:
    axes, transposed = _axes(call.operation), call.operation.startswith("convtranspose")
    first = _first(call)
    if len(first.shape or ()) != axes + 2 or (first.shape or (0,))[0] != 1:
        raise NoRuleError("a convolution of several images at once has no rule")

    def each(name: str, default: int) -> tuple[int, ...]:
        found = call.setting(name, default)
        if isinstance(found, str):
            raise NoRuleError(f"the padding {found!r} of a function has no rule")
        several = (found,) * axes if isinstance(found, int) else tuple(found)
        return several if len(several) == axes else several * axes

    return GraphLayer(
        kind=f"conv_transpose{axes}d" if transposed else f"conv{axes}d",
        stride=each("stride", 1),
        padding=each("padding", 0),
        dilation=each("dilation", 1),
        groups=int(call.setting("groups", 1)),
        transposed=transposed,
        output_padding=each("output_padding", 0) if transposed else (),
        **given,
    )


def _layer_scale(call: Call) -> GraphLayer | None:
    """A stored tensor times an activation that it leaves as large as it is: a diagonal map."""
    found = call.activations
    if len(found) != 2 or len(call.args) != 2:
        return None
    factors = [one for one in found if one.view_of is not None]
    others = [one for one in found if not one.is_constant]
    if len(factors) != 1 or len(others) != 1 or others[0].entries != call.result_entries:
        return None
    name, shape = factors[0].view_of or ("", ())
    return GraphLayer(
        name=name,
        module=name,
        kind="layer_scale",
        stored_weight=name,
        weight_shape=shape,
        has_own_bias=False,
        input_shape=others[0].example_shape,
        output_shape=call.example_shape,
    )


def _embedding(call: Call) -> GraphLayer:
    given = _parts(call)
    if call.kwargs.get("max_norm") is not None:
        raise NoRuleError("an embedding that renormalizes its table has no rule")
    return GraphLayer(kind="embedding", **given)


def _batch_norm(call: Call) -> GraphLayer:
    """With the names that a module of batch normalization gives its tensors."""
    positions = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = dict(zip(positions, call.args[1:], strict=False)) | dict(call.kwargs)
    names = {one: _stored(given[one])[0] for one in positions[:4] if given.get(one) is not None}
    modules = {name.removesuffix(f".{one}") for one, name in names.items()}
    if given.get("training") or len(modules) != 1 or "running_mean" not in names:
        raise NoRuleError("batch normalization with the statistics of its batch: no rule")
    module = modules.pop()
    first = _first(call)
    return GraphLayer(
        name=f"{module}.weight",
        module=module,
        kind="diagonal",
        weight_shape=((first.shape or (0, 0))[1],),
        has_own_bias=False,
        batch_norm=BatchNorm(
            module=module,
            features=(first.shape or (0, 0))[1],
            epsilon=float(given.get("eps", 1e-5)),
            affine="weight" in names,
        ),
        input_shape=first.example_shape,
        output_shape=call.example_shape,
    )


_READERS: Mapping[str, Callable[[Call], GraphLayer | None]] = {
    "mul": _layer_scale,
    "embedding": _embedding,
    "batchnorm": _batch_norm,
}


def stored_constant(node: str, name: str, shape: tuple[int, ...]) -> tuple[GraphNode, GraphLayer]:
    """The node of a stored tensor that is a value of the network, and its layer.

    Args:
        node: name of the node.
        name: of the stored tensor.
        shape: all of it.
    """
    layer = GraphLayer(
        name=name,
        module=name,
        kind="constant",
        stored_weight=name,
        weight_shape=shape,
        has_own_bias=False,
        input_shape=(1,),
        output_shape=shape,
    )
    return constant_node(node, shape, layer=name), layer


def is_causal_mask(value: Tensor) -> bool:
    """Whether a stored buffer is the triangle of ones that leaves out later tokens.

    It is the same for all weights, a part of the architecture, and no value that could move.
    """
    if isinstance(value, nn.Parameter) or value.is_meta or value.ndim < 2:
        return False
    rows, columns = value.shape[-2:]
    if rows != columns or value.numel() != rows * columns or rows < 2:
        return False
    square = value.detach().reshape(rows, columns)
    ones = torch.ones_like(square)
    return any(bool(torch.equal(square, one)) for one in (ones.tril(), ones.triu()))


def constant_node(node: str, shape: tuple[int, ...], **facts: Any) -> GraphNode:
    """The node of a value that no input changes, of this shape."""
    own = shape[1:] if shape[:1] == (1,) else shape
    return GraphNode(name=node, kind="constant", operation="constant", shape=own, **facts)


def fixed_constant(node: str, value: Tensor) -> GraphNode:
    """The node of a tensor that is a part of the architecture; its norms are taken.

    Entries of minus infinity, which only a softmax makes sense of, count as `INFINITE`.

    Raises:
        NoRuleError: an entry is NaN or plus infinity.
    """
    with torch.device("cpu"):
        entries = value.detach().double()
        entries = entries.clamp(min=-INFINITE) if entries.numel() else entries
        if not bool(entries.isfinite().all()):
            raise NoRuleError("it uses a tensor with an entry that is not finite")
        largest = float(entries.abs().max()) if entries.numel() else 0.0
        exact = math.fsum(one * one for one in entries.flatten().tolist()[:_FEW])
        norm = math.sqrt(exact) * (1 + 2.0**-40)
        if entries.numel() > _FEW:
            norm = float(torch.linalg.vector_norm(entries)) * (1 + entries.numel() * 2.0**-52)
    norm = min(norm, largest * root_upper(entries.numel()) * (1 + 2.0**-50))
    return constant_node(node, tuple(value.shape), offset_upper=norm, entry_cap_upper=largest)


_FEW = 4096
