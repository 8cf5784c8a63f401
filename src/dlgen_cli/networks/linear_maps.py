"""Modules with weights: which map they apply, by their type and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn.utils import parametrize

from dlgen_cli.networks import arithmetic
from dlgen_cli.networks.calls import Call, NoRuleError, without_batch
from dlgen_cli.networks.graph import BatchNorm, GraphLayer
from dlgen_cli.networks.layer_kinds import kind_of
from dlgen_cli.networks.layouts import Recipe
from dlgen_cli.networks.normalizations import facts as facts_of_normalization
from dlgen_cli.networks.normalizations import read_normalization
from dlgen_cli.networks.programs.module import TransposedLinear
from dlgen_cli.networks.reparametrization import weight_norm_names
from dlgen_cli.networks.stored_maps import read_function
from dlgen_cli.records import GraphNode

_CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
_TRANSPOSED = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
_NORMALIZATIONS = (
    "LayerNorm",
    "RMSNorm",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
)
_BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")


def read_layer(call: Call) -> GraphLayer | None:
    """The layer that a module is; None where the module has no weights that are known here.

    Args:
        call: a call of the module, with its shapes.

    Raises:
        NoRuleError: its weight is computed in an unknown way, or its geometry has no rule.
    """
    module = call.module
    if module is None:
        return read_function(call)
    if isinstance(module, TransposedLinear):
        return _transposed(call)
    read = _READERS.get(_class_name(module))
    return None if read is None else read(call, module)


def layer_node(call: Call, layer: GraphLayer) -> GraphNode:
    """The node of a call that applies a layer.

    A matrix along the last axis acts on every token alone, and so do a kernel of one tap on the
    vectors of channels, and factors that are as many as a token has entries.
    """
    first = call.activations[0]
    kind = kind_of(layer).node
    inputs: tuple[str, ...] = (first.node,)
    axis = first.token_axis
    if layer.normalization is not None:
        return call.becomes(
            kind,
            operation=layer.kind,
            layer=layer.name,
            inputs=inputs,
            **facts_of_normalization(call, layer.normalization),
        )
    if layer.kind == "layer_scale":
        inputs = tuple(one.node for one in call.activations if not one.is_constant)
        axis = arithmetic.shared_axis(call, call.activations)
    elif kind == "embedding":
        axis = -1
    elif kind == "linear" and not layer.stride:
        axis = axis if axis == -1 else None
    elif kind == "linear":
        axis = axis if axis == -len(layer.stride) - 1 and _is_one_tap(layer) else None
    elif layer.is_batch_norm:
        axis = None
    return call.becomes(
        kind, operation=layer.kind, layer=layer.name, inputs=inputs, token_axis=axis
    )


def _is_one_tap(layer: GraphLayer) -> bool:
    is_single = all(size == 1 for size in layer.weight_shape[2:])
    is_plain = not layer.transposed and layer.groups == 1
    return is_single and is_plain and not any(layer.padding)


def _class_name(module: nn.Module) -> str:

    kind = type(module)
    if parametrize.is_parametrized(module):
        kind = kind.__bases__[0]
    return kind.__name__ if kind.__module__.startswith("torch.nn.") else ""


def _shapes(call: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before, after = call.only().shape, call.result_shape
    if before is None or after is None or len(call.args) + len(call.kwargs) != 1:
        raise NoRuleError("it is called with more than its input")
    return without_batch(before), without_batch(after)


def _batch_norm(call: Call, module: nn.Module) -> GraphLayer:
    before, after = _shapes(call)
    if getattr(module, "running_mean", None) is None:
        raise NoRuleError("batch normalization with the statistics of its batch: no rule")
    features = int(getattr(module, "num_features", 0))
    return GraphLayer(
        name=f"{call.path}.weight",
        module=call.path,
        kind="diagonal",
        weight_shape=(features,),
        has_own_bias=False,
        batch_norm=BatchNorm(
            module=call.path,
            features=features,
            epsilon=float(getattr(module, "eps", 0.0)),
            affine=bool(getattr(module, "affine", False)),
        ),
        input_shape=before,
        output_shape=after,
    )


def _normalization(call: Call, module: nn.Module) -> GraphLayer | None:
    """The factors and shifts after a normalization; None where it has none."""
    how = read_normalization(call)
    weight = getattr(module, "weight", None)
    if how is None or weight is None:
        return None
    before, after = _shapes(call)
    return GraphLayer(
        name=f"{call.path}.weight",
        module=call.path,
        kind=how.form,
        weight_shape=tuple(weight.shape),
        has_own_bias=getattr(module, "bias", None) is not None,
        normalization=how,
        input_shape=before,
        output_shape=after,
    )


def _table_or_slopes(call: Call, module: nn.Module) -> GraphLayer:
    before, after = _shapes(call)
    if getattr(module, "max_norm", None) is not None:
        raise NoRuleError("an embedding that renormalizes its table has no rule")
    _require_known_weight(module)
    return GraphLayer(
        name=f"{call.path}.weight",
        module=call.path,
        kind=_class_name(module).lower(),
        weight_shape=tuple(getattr(module, "weight", torch.empty(0)).shape),
        has_own_bias=False,
        input_shape=before,
        output_shape=after,
    )


def _dense(call: Call, module: nn.Module) -> GraphLayer:
    before, after = _shapes(call)
    _require_known_weight(module)
    return GraphLayer(
        name=f"{call.path}.weight",
        module=call.path,
        kind="linear",
        weight_shape=(int(getattr(module, "out_features", 0)), before[-1]),
        has_own_bias=getattr(module, "bias", None) is not None,
        input_shape=before,
        output_shape=after,
    )


def _transposed(call: Call) -> GraphLayer:
    """A linear layer whose weight is stored with its inputs first."""
    before, after = _shapes(call)
    weight, bias = f"{call.path}.weight", f"{call.path}.bias"
    has_bias = getattr(call.module, "bias", None) is not None
    sources = (weight,)
    return GraphLayer(
        name=weight,
        module=call.path,
        kind="linear",
        weight_shape=(after[-1], before[-1]),
        has_own_bias=has_bias,
        input_shape=before,
        output_shape=after,
        recipe=Recipe(sources=sources, is_transposed=True, bias=bias if has_bias else None),
    )


def _convolution(call: Call, module: nn.Module) -> GraphLayer:
    before, after = _shapes(call)
    _require_known_weight(module)
    transposed = _class_name(module) in _TRANSPOSED
    axes = len(tuple(getattr(module, "kernel_size", ())))
    if len(before) != axes + 1:
        raise NoRuleError("a convolution of several images at once has no rule")
    kernel: tuple[int, ...] = tuple(getattr(module, "kernel_size", ()))
    dilation: tuple[int, ...] = tuple(getattr(module, "dilation", ()))
    groups = int(getattr(module, "groups", 1))
    outputs, inputs = int(getattr(module, "out_channels", 0)), before[0]
    channels = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    return GraphLayer(
        name=f"{call.path}.weight",
        module=call.path,
        kind=f"conv_transpose{axes}d" if transposed else f"conv{axes}d",
        weight_shape=(*channels, *kernel),
        has_own_bias=getattr(module, "bias", None) is not None,
        input_shape=before,
        output_shape=after,
        stride=tuple(getattr(module, "stride", ())),
        padding=_padding(getattr(module, "padding", ()), kernel, dilation),
        dilation=dilation,
        groups=groups,
        transposed=transposed,
        output_padding=tuple(getattr(module, "output_padding", ())) if transposed else (),
        padding_mode=str(getattr(module, "padding_mode", "zeros")),
    )


def _padding(
    setting: str | tuple[int, ...], kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    if setting == "valid":
        return (0,) * len(kernel)
    if setting != "same":
        return tuple(int(width) for width in setting)
    reach = [t * (k - 1) for t, k in zip(dilation, kernel, strict=True)]
    if any(width % 2 for width in reach):
        raise NoRuleError("padding 'same' with an even kernel is not the same on both sides")
    return tuple(width // 2 for width in reach)


def _require_known_weight(module: nn.Module) -> None:
    """Accept a plain weight and both forms of weight normalization; refuse anything else."""
    own = dict(module.named_parameters(recurse=False))
    if parametrize.is_parametrized(module):
        table = getattr(module, "parametrizations", {})
        steps = [type(step).__name__ for name in table for step in table[name]]
        if list(table) == ["weight"] and steps == ["_WeightNorm"]:
            return
        raise NoRuleError(f"its tensors are computed by {', '.join(steps)}: no rule")
    if "weight" not in own and not own.keys() >= set(weight_norm_names("weight")[0]):
        raise NoRuleError("its weight is no parameter but computed from others: no rule")


#: By the name of the class of torch.
_READERS: Mapping[str, Callable[[Call, nn.Module], GraphLayer | None]] = {
    **dict.fromkeys(_NORMALIZATIONS, _normalization),
    **dict.fromkeys(_BATCH_NORMS, _batch_norm),
    **dict.fromkeys((*_CONVOLUTIONS, *_TRANSPOSED), _convolution),
    **dict.fromkeys(("PReLU", "Embedding"), _table_or_slopes),
    "Linear": _dense,
}
