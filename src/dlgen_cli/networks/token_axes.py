"""Where the axis of the tokens goes when entries are rearranged.

Axes are counted from the end, so that a leading batch makes no difference. Each function gives
the axis of the result, or None where tokens are neither kept whole, nor cut into parts, nor put
together side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dlgen_cli.networks.calls import Call

Shape = Sequence[int]


def token_axis(call: Call) -> int | None:
    """The axis of the tokens after a call that rearranges the entries of its only activation."""
    first = call.only()
    axis, before, after = first.token_axis, first.shape, call.result_shape
    if axis is None or before is None:
        return _of_tuple(call, axis)
    if after is None:
        return _after_split(call, axis, before)
    found = _moved(call, axis, before, after)
    return found if found is not None and is_axis(call, found) else None


def is_axis(call: Call, axis: int) -> bool:
    """Whether the result of a call has an axis, counted from the end, beside the batch."""
    return -len(call.example_shape) <= axis < 0


def _of_tuple(call: Call, axis: int | None) -> int | None:
    """A part that is taken of several tensors is as they are."""
    is_taken = call.operation == "getitem" and call.activations[0].shape is None
    return axis if axis is not None and is_taken and is_axis(call, axis) else None


def _after_split(call: Call, axis: int, before: Shape) -> int | None:
    if call.operation in {"chunk", "split", "tensorsplit", "unsafesplit", "unsafechunk"}:
        return axis
    if call.operation == "unbind":
        return _without(axis, from_end(int(call.setting("dim", 0)), len(before)))
    return None


def from_end(axis: int, count: int) -> int:
    """An axis of ``count`` axes, counted from the end."""
    return axis if axis < 0 else axis - count


def _moved(call: Call, axis: int, before: Shape, after: Shape) -> int | None:
    operation, count = call.operation, len(before)
    if operation in _AS_THEY_ARE and len(after) == count:
        return axis
    if operation in {"permute", "transpose", "movedim", "t", "mt"}:
        order = _order(call, count)
        return None if order is None else order.index(axis % count) - count
    if operation == "select":
        return _without(axis, from_end(int(call.setting("dim", 0)), count))
    if operation == "getitem":
        return _indexed(call.args[1], axis, count, len(after))
    if operation in _RESHAPING:
        return _reshaped(before, after, axis)
    return None


_AS_THEY_ARE = {
    "identity",
    "clone",
    "contiguous",
    "detach",
    "float",
    "double",
    "to",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alphadropout",
    "featurealphadropout",
    "stochasticdepth",
    "roll",
    "flip",
    "narrow",
    "pad",
    "zeropad1d",
    "zeropad2d",
    "zeropad3d",
    "neg",
    "slice",
    "maskedfill",
}
_RESHAPING = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel"}


def _without(axis: int, removed: int) -> int | None:
    if axis == removed:
        return None
    return axis + 1 if axis < removed else axis


def _order(call: Call, count: int) -> list[int] | None:
    """The axis of the input that each axis of the result is."""
    numbers = [one for one in call.args[1:] if isinstance(one, int | tuple | list)]
    if call.operation in {"t", "mt"}:
        numbers = [-1, -2]
    elif call.operation in {"transpose", "movedim"}:
        first, second = _POSITION_NAMES[call.operation]
        numbers = [call.setting(first, None), call.setting(second, None)]
    elif not numbers:
        numbers = [call.kwargs.get("dims", ())]
    flat: list[Any] = []
    for one in numbers:
        flat.extend(one if isinstance(one, tuple | list) else [one])
    if not all(isinstance(one, int) for one in flat):
        return None
    axes = [int(one) % count for one in flat]
    order = list(range(count))
    if call.operation == "permute":
        return axes
    if len(axes) != 2:
        return None
    left, right = axes
    if call.operation == "movedim":
        order.insert(right, order.pop(left))
    else:
        order[left], order[right] = order[right], order[left]
    return order


_POSITION_NAMES = {"transpose": ("dim0", "dim1"), "movedim": ("source", "destination")}


def _indexed(selected: Any, axis: int, count: int, result: int) -> int | None:
    """By numbers, slices and None; the axes that come after the last of them stay."""
    parts = list(selected) if isinstance(selected, tuple | list) else [selected]
    if not all(one is None or one is Ellipsis or isinstance(one, int | slice) for one in parts):
        return None
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    place = parts.index(Ellipsis)
    named = sum(one is not None for one in parts) - 1
    parts[place : place + 1] = [slice(None)] * (count - named)
    target, source = 0, 0
    for part in parts:
        if part is None:
            target += 1
            continue
        if source == axis % count:
            return None if isinstance(part, int) else target - result
        source += 1
        target += not isinstance(part, int)
    return None


def _reshaped(before: Shape, after: Shape, axis: int) -> int | None:
    """The axis of the result that has the same inner stride: a part of a token, or several."""
    size = before[axis]
    stride = math.prod(before[len(before) + axis + 1 :])
    for place in range(len(after)):
        own = math.prod(after[place + 1 :])
        is_alike = after[place] <= size or after[place] % size == 0
        if own == stride and after[place] > 1 and is_alike:
            fits = size % after[place] == 0 or after[place] % size == 0
            return place - len(after) if fits else None
    return None
