"""Results of the commonest calls on the meta device, by their shapes alone.

torch's own kernels for that device are written in Python and import half of its compiler: seconds,
for the shape of a ReLU. The plain case of each call of common vision networks is told here;
anything else is left to torch, its errors too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_POINTWISE_MODULES = frozenset(
    {
        nn.ReLU,
        nn.ReLU6,
        nn.LeakyReLU,
        nn.SiLU,
        nn.GELU,
        nn.Sigmoid,
        nn.Tanh,
        nn.Hardswish,
        nn.Hardsigmoid,
    }
)
_POINTWISE_FUNCTIONS = frozenset({"relu", "silu", "gelu", "sigmoid", "tanh"})
_ARITHMETIC = frozenset({"add", "sub", "mul"})


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
        in_place: whether it changes its first argument, and returns it.

    Returns:
        A tensor on the meta device; None where torch has to be asked.
    """
    if operation == "cat" and module is None and not in_place:
        shape = _shape_of_join(args, kwargs)
        return None if shape is None else torch.empty(shape, dtype=args[0][0].dtype, device="meta")
    if not args or not _is_floating(args[0]):
        return None
    x, others = args[0], list(args[1:])
    if in_place:
        is_pointwise = _is_own_call(module) and type(module) in _POINTWISE_MODULES
        is_sum = module is None and operation in _ARITHMETIC and len(others) == 1 and not kwargs
        return x if is_pointwise or (is_sum and _shape_of_pair(x, others[0]) == x.shape) else None
    if operation in _ARITHMETIC and x.is_contiguous() and any(map(_is_permuted, others)):
        x, others = others[0], [x, *others[1:]]
    if _is_permuted(x):
        return _result_of_permuted(operation, module, x, others, kwargs)
    return _result_of_ordered(operation, module, x, others, kwargs)


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_meta and value.is_floating_point()


def _is_plain(value: Any) -> bool:
    return _is_floating(value) and value.is_contiguous()


def _is_permuted(value: Any) -> bool:
    return _is_floating(value) and not value.is_contiguous()


def _is_dense(x: Tensor) -> bool:
    """Whether entries lie side by side, the axes in whatever order."""
    reach = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size != 1 and stride != reach:
            return False
        reach *= size
    return True


def _result_of_ordered(
    operation: str,
    module: nn.Module | None,
    x: Tensor,
    others: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Tensor | None:
    """Of a contiguous tensor: contiguous too."""
    if module is None:
        shape = _shape_of_function(operation, x, others, kwargs)
    else:
        shape = None if others or kwargs else _shape_of_module(module, x)
    if shape is None or any(size < 1 for size in shape):
        return None
    return torch.empty(shape, dtype=x.dtype, device="meta")


def _result_of_permuted(
    operation: str,
    module: nn.Module | None,
    x: Tensor,
    others: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Tensor | None:
    """Of a tensor with its axes in another order: what networks with channels last need."""
    if not _is_dense(x):
        return None
    if module is None and operation in _ARITHMETIC and len(others) == 1 and not kwargs:
        return _permuted_pair(x, others[0])
    ordered = torch.empty(x.shape, dtype=x.dtype, device="meta")
    known = _result_of_ordered(operation, module, ordered, others, kwargs)
    is_mean = type(module) is nn.AdaptiveAvgPool2d and module.output_size in {1, (1, 1)}
    if known is None or operation == "layernorm" or is_mean:
        return known  # in order
    if type(module) is not nn.Conv2d or not x.is_contiguous(memory_format=torch.channels_last):
        return None
    return torch.empty(known.shape, dtype=x.dtype, device="meta", memory_format=torch.channels_last)


def _permuted_pair(x: Tensor, other: Any) -> Tensor | None:
    """Of a sum or a product whose other part does not tell the axes apart, or has the same."""
    is_line = isinstance(other, Tensor) and sum(size > 1 for size in other.shape) <= 1
    alike = isinstance(other, Tensor) and other.stride() == x.stride()
    fits = is_line or alike or not isinstance(other, Tensor)
    if not fits or _shape_of_pair(x, other) != x.shape:
        return None
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _shape_of_function(
    operation: str, x: Tensor, others: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[int, ...] | None:
    if operation in _POINTWISE_FUNCTIONS:
        return None if others or kwargs else tuple(x.shape)
    if operation in _ARITHMETIC:
        fits = len(others) == 1 and not kwargs
        is_plain = fits and (_is_plain(others[0]) or not isinstance(others[0], Tensor))
        return _shape_of_pair(x, others[0]) if is_plain else None
    if operation == "layernorm":
        last = tuple(others[0]) if others and isinstance(others[0], tuple | list) else ()
        return tuple(x.shape) if last and tuple(x.shape[-len(last) :]) == last else None
    if operation == "adaptiveavgpool2d":
        is_whole = list(others) in [[1], [(1, 1)]] and not kwargs
        return (*x.shape[:2], 1, 1) if is_whole and x.ndim == 4 else None
    is_spatial_mean = operation == "mean" and x.ndim == 4 and not others
    return tuple(x.shape[:2]) if is_spatial_mean and kwargs == {"dim": (2, 3)} else None


def _shape_of_pair(x: Tensor, other: Any) -> tuple[int, ...] | None:
    if type(other) in {int, float}:
        return tuple(x.shape)
    if not _is_floating(other) or other.dtype != x.dtype:
        return None
    longest = max(x.ndim, other.ndim)
    pairs = zip(_padded(x.shape, longest), _padded(other.shape, longest), strict=True)
    sizes = [(max(one, two), min(one, two)) for one, two in pairs]
    return tuple(most for most, _ in sizes) if all(n in {1, m} for m, n in sizes) else None


def _padded(shape: Sequence[int], length: int) -> tuple[int, ...]:
    return (1,) * (length - len(shape)) + tuple(shape)


def _shape_of_join(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Of ``torch.cat`` along the channels."""
    parts = args[0] if args and isinstance(args[0], tuple | list) else []
    along = args[1:] == (1,) if len(args) == 2 and not kwargs else dict(kwargs) == {"dim": 1}
    if not parts or not along or len(args) > 2 or not all(map(_is_plain, parts)):
        return None
    first = parts[0]
    rest = {(*one.shape[:1], *one.shape[2:], one.dtype) for one in parts}
    if first.ndim < 2 or len(rest) > 1 or any(one.ndim != first.ndim for one in parts):
        return None
    return (first.shape[0], sum(one.shape[1] for one in parts), *first.shape[2:])


def _is_own_call(module: nn.Module | None) -> bool:
    """Whether calling a module is its class's forward and nothing else."""
    own = vars(module) if module is not None else {"forward": None}
    return not (own.get("_forward_hooks") or own.get("_forward_pre_hooks") or "forward" in own)


def _shape_of_module(module: nn.Module, x: Tensor) -> tuple[int, ...] | None:
    if not _is_own_call(module):
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
    windows = _windows(x, module.kernel_size, module.stride, module.padding, module.dilation)
    return (x.shape[0], module.out_channels, *windows)


def _pooling(module: Any, x: Tensor) -> tuple[int, ...] | None:
    if x.ndim != 4 or module.ceil_mode or getattr(module, "return_indices", False):
        return None
    taps, padding = _pair(module.kernel_size), _pair(module.padding)
    if any(2 * p > k for k, p in zip(taps, padding, strict=True)):
        return None  # torch refuses it
    dilation = _pair(getattr(module, "dilation", 1))
    return (*x.shape[:2], *_windows(x, taps, _pair(module.stride), padding, dilation))


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple | list) else (value, value)
    return first, second


def _windows(x: Tensor, *geometry: Sequence[int]) -> list[int]:
    """Places on each axis of a map, by taps, stride, padding and dilation."""
    return [
        (size + 2 * p - t * (k - 1) - 1) // s + 1
        for size, k, s, p, t in zip(x.shape[2:], *geometry, strict=True)
    ]


def _group_norm(module: Any, x: Tensor) -> tuple[int, ...] | None:
    return tuple(x.shape) if x.ndim > 2 and x.shape[1] == module.num_channels else None


def _batch_norm(module: Any, x: Tensor) -> tuple[int, ...] | None:
    axes = {nn.BatchNorm1d: (2, 3), nn.BatchNorm2d: (4,), nn.BatchNorm3d: (5,)}[type(module)]
    fits = x.ndim in axes and x.shape[1] == module.num_features
    return tuple(x.shape) if fits and not module.training else None


def _layer_norm(module: Any, x: Tensor) -> tuple[int, ...] | None:
    last = tuple(module.normalized_shape)
    return tuple(x.shape) if tuple(x.shape[-len(last) :]) == last else None


def _adaptive_mean(module: Any, x: Tensor) -> tuple[int, ...] | None:
    sizes = module.output_size
    sizes = sizes if isinstance(sizes, tuple | list) else (sizes, sizes)
    is_sized = all(type(size) is int for size in sizes)
    return (*x.shape[:2], *sizes) if is_sized and x.ndim == 4 else None


_RULES: Mapping[type[nn.Module], Callable[[Any, Tensor], tuple[int, ...] | None]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.MaxPool2d: _pooling,
    nn.AvgPool2d: _pooling,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    nn.AdaptiveAvgPool2d: _adaptive_mean,
}
