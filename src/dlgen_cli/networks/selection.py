"""Entries that are picked, repeated, overwritten or added around the edges.

A map that gives every entry of its input at most c times, and nothing else but constants, is
``sqrt(c)``-Lipschitz. How often an entry occurs is counted: the operation is carried out on the
numbers of the entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dlgen_cli.networks.arithmetic import product_upper
from dlgen_cli.networks.calls import Activation, Call, Constant, NoRuleError
from dlgen_cli.networks.pooling import largest_multiplicity, root_upper
from dlgen_cli.networks.token_axes import token_axis
from dlgen_cli.records import GraphNode

#: What stands for an infinite number in a mask: the softmax that reads it has its limit's value.
INFINITE = 1e30
_MOST_ENTRIES = 1 << 26

PADDINGS = (
    "pad",
    *(
        f"{how}pad{axes}d"
        for how in ("zero", "constant", "reflection", "replication", "circular")
        for axes in (1, 2, 3)
    ),
)


def by_index(call: Call, selected: Any) -> GraphNode:
    """Indexing by lists and tensors that no input changes."""
    found = _entries_of(selected)
    return _counted(call, lambda numbers: numbers[found])


def index_select(call: Call) -> GraphNode:
    """``index_select`` along one axis, by a tensor that no input changes."""
    axis, index = int(call.setting("dim", 0)), _entries_of(call.setting("index", None))
    return _counted(call, lambda numbers: numbers.index_select(axis, index))


def _entries_of(selected: Any) -> Any:
    if isinstance(selected, tuple):
        return tuple(_entries_of(one) for one in selected)
    if isinstance(selected, list):
        parts = [_entries_of(one) for one in selected]
        is_index = any(isinstance(one, Tensor) or one is None for one in parts)
        return tuple(slice(None) if one is None else one for one in parts) if is_index else parts
    if isinstance(selected, Activation) or (
        isinstance(selected, Constant) and selected.value is None
    ):
        raise NoRuleError("it picks entries by a tensor that depends on activations")
    if isinstance(selected, Constant) and selected.value is not None:
        found = selected.value()
        if isinstance(found, Tensor) and found.is_meta:
            raise NoRuleError("the entries of an index are not known")
        return found
    return selected


def _counted(call: Call, pick: Callable[[Tensor], Tensor]) -> GraphNode:
    """A map that picks entries, each as often as it is seen to."""
    shape = call.activations[0].shape
    count = math.prod(shape or ())
    if shape is None or len(call.activations) != 1 or count > _MOST_ENTRIES:
        raise NoRuleError("what it picks of is not one tensor of moderate size")
    with torch.device("cpu"):
        try:
            picked = pick(torch.arange(count).reshape(shape))
        except (RuntimeError, IndexError, TypeError) as error:
            raise NoRuleError(f"what it picks is not known ({error})") from error
        copies = int(torch.bincount(picked.flatten()).max()) if picked.numel() else 0
    return call.becomes("scale", factor_upper=root_upper(copies), entry_factor_upper=1.0)


def unfold(call: Call) -> GraphNode:
    """Patches side by side: ``functional.unfold``, or windows along one axis by the method."""
    first = call.only()
    if len(call.result_shape or ()) == len(first.shape or ()) + 1:
        return _counted(call, lambda numbers: numbers.unfold(*call.args[1:]))
    copies = 1
    how = [_pair(call.setting(name, 1)) for name in ("kernel_size", "dilation", "stride")]
    padding = _pair(call.setting("padding", 0))
    for size, k, t, s, p in zip((first.shape or ())[-2:], *how, padding, strict=True):
        count = (size + 2 * p - t * (k - 1) - 1) // s + 1
        windows = [range(i * s - p, i * s - p + t * (k - 1) + 1, t) for i in range(count)]
        copies *= largest_multiplicity(windows, size)
    return call.becomes("scale", factor_upper=root_upper(copies), entry_factor_upper=1.0)


def _pair(setting: Any) -> tuple[int, int]:
    one, two = (setting, setting) if isinstance(setting, int) else setting
    return one, two


def pad(call: Call) -> GraphNode:
    """Zeros, numbers or entries of the map itself around it; a negative width cuts off."""
    first = call.only()
    mode, widths = _padding(call)
    if mode == "constant":
        value = call.setting("value", None) or 0.0
        if not value:
            return call.becomes("identity", token_axis=token_axis(call))
        added = max(0, call.result_entries - first.entries)
        return call.becomes(
            "scale",
            offset_upper=product_upper(abs(float(value)), root_upper(call.result_entries)),
            entry_factor_upper=1.0 if added else None,
        )
    if first.shape is None:
        raise NoRuleError("it pads a tuple of tensors")
    if mode == "reflect" and len(widths) > 2 * (len(first.shape) - 1):
        raise NoRuleError("it pads the batch")

    def around(numbers: Tensor) -> Tensor:
        return functional.pad(numbers.double(), widths, mode=mode).round().long()

    return _counted(call, around)


def _padding(call: Call) -> tuple[str, list[int]]:
    modes = {"reflection": "reflect", "replication": "replicate", "circular": "circular"}
    if call.operation == "pad":
        mode, widths = call.setting("mode", "constant"), call.setting("pad", ())
    else:
        mode = modes.get(call.operation[: -len("pad1d")], "constant")
        widths = call.setting("padding", ())
    if not isinstance(widths, Sequence) or not all(isinstance(one, int) for one in widths):
        return mode, []
    return mode, list(widths)


def masked_fill(call: Call) -> GraphNode:
    """Entries where a mask says so become a number; the mask depends on no input.

    An infinite number stands for ever larger ones: only a softmax makes sense of it, and its
    values are the limit of those.
    """
    value = call.args[2] if len(call.args) > 2 else call.kwargs.get("value")
    first = call.args[0]
    if len(call.activations) != 1 or not isinstance(first, Activation):
        raise NoRuleError("its mask or its number depends on activations")
    if not isinstance(value, int | float) or math.isnan(value):
        raise NoRuleError("its number is not known")
    size = min(abs(float(value)), INFINITE)
    return call.becomes(
        "scale",
        offset_upper=product_upper(size, root_upper(call.result_entries)),
        entry_factor_upper=1.0,
    )
