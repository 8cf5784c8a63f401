"""Modules with weights: which map they apply, by their type and settings."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize

from dlgen_cli.networks.calls import Call, NoRuleError
from dlgen_cli.networks.graph import BatchNorm, GraphLayer
from dlgen_cli.networks.reparametrization import weight_norm_names

_CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
_TRANSPOSED = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
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
        return None
    name = _class_name(module)
    if name in _BATCH_NORMS:
        return _batch_norm(call, module)
    if name == "Linear":
        return _dense(call, module)
    if name in _CONVOLUTIONS or name in _TRANSPOSED:
        return _convolution(call, module, name)
    return None


def _class_name(module: nn.Module) -> str:

    kind = type(module)
    if parametrize.is_parametrized(module):
        kind = kind.__bases__[0]
    return kind.__name__ if kind.__module__.startswith("torch.nn.") else ""


def _shapes(call: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before, after = call.only().shape, call.result_shape
    if before is None or after is None or len(call.args) + len(call.kwargs) != 1:
        raise NoRuleError("it is called with more than its input")
    return before[1:], after[1:]


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


def _convolution(call: Call, module: nn.Module, name: str) -> GraphLayer:
    before, after = _shapes(call)
    _require_known_weight(module)
    transposed = name in _TRANSPOSED
    axes = len(before) - 1
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
