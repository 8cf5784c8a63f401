"""Results of the commonest calls on the meta device, by their shapes alone.

torch's own kernels for that device are written in Python and import half of its compiler: seconds,
for the shape of a ReLU. The plain case of each call of dlgen's own architectures is told here;
anything else is left to torch, its errors too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_POINTWISE_MODULES = frozenset({nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh})
_POINTWISE_FUNCTIONS = frozenset({"relu", "silu", "gelu", "sigmoid", "tanh"})


def plain_result(
    operation: str,
    module: nn.Module | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    in_place: bool,
) -> Tensor | None:
    """What a call returns, where its shape follows from a plain rule.

    Args:
        operation: canonical name, see `dlgen_cli.networks.calls.canonical_name`.
        module: the module that is called; None for functions and methods of torch.
        args: positional arguments.
        kwargs: named arguments.
        in_place: whether it changes its first argument; torch is asked then.

    Returns:
        A tensor on the meta device; None where torch has to be asked.
    """
    if in_place or not args or not _is_plain(args[0]):
        return None
    x: Tensor = args[0]
    if module is None:
        shape = _shape_of_function(operation, x, args[1:], kwargs)
    else:
        shape = _shape_of_module(module, x) if len(args) == 1 and not kwargs else None
    if shape is None or any(size < 1 for size in shape):
        return None
    return torch.empty(shape, dtype=x.dtype, device="meta")


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_meta
        and value.is_contiguous()
        and value.is_floating_point()
    )


def _shape_of_function(
    operation: str, x: Tensor, others: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[int, ...] | None:
    if operation in _POINTWISE_FUNCTIONS:
        return None if others or kwargs else tuple(x.shape)
    if operation in {"add", "sub"}:
        fits = len(others) == 1 and not kwargs and _is_plain(others[0])
        alike = fits and others[0].dtype == x.dtype and others[0].shape == x.shape
        return tuple(x.shape) if alike else None
    is_spatial_mean = operation == "mean" and x.ndim == 4 and not others
    return tuple(x.shape[:2]) if is_spatial_mean and kwargs == {"dim": (2, 3)} else None


def _shape_of_module(module: nn.Module, x: Tensor) -> tuple[int, ...] | None:
    """The shape that a module returns whose call is its class's forward and nothing else."""
    own = vars(module)
    if own.get("_forward_hooks") or own.get("_forward_pre_hooks") or "forward" in own:
        return None
    if type(module) in _POINTWISE_MODULES:
        return None if getattr(module, "inplace", False) else tuple(x.shape)
    rule = _RULES.get(type(module))
    if rule is None or any(one.dtype != x.dtype for one in module.parameters(recurse=False)):
        return None
    return rule(module, x)


def _linear(module: Any, x: Tensor) -> tuple[int, ...] | None:
    outputs, inputs = module.weight.shape
    return (*x.shape[:-1], outputs) if x.ndim > 1 and x.shape[-1] == inputs else None


def _convolution(module: Any, x: Tensor) -> tuple[int, ...] | None:
    if x.ndim != 4 or x.shape[1] != module.in_channels or module.padding_mode != "zeros":
        return None
    if isinstance(module.padding, str):
        return None
    geometry = (module.kernel_size, module.stride, module.padding, module.dilation)
    windows = (
        (size + 2 * p - t * (k - 1) - 1) // s + 1
        for size, k, s, p, t in zip(x.shape[2:], *geometry, strict=True)
    )
    return (x.shape[0], module.out_channels, *windows)


def _group_norm(module: Any, x: Tensor) -> tuple[int, ...] | None:
    return tuple(x.shape) if x.ndim > 2 and x.shape[1] == module.num_channels else None


_RULES: Mapping[type[nn.Module], Callable[[Any, Tensor], tuple[int, ...] | None]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.GroupNorm: _group_norm,
}
