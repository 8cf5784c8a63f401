"""Operations of ONNX with windows: convolution, pooling, padding and resizing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from dlgen_cli.checkpoints.program import Step, Value
from dlgen_cli.networks.programs import layers
from dlgen_cli.networks.programs.onnx_builder import OnnxBuilder
from dlgen_cli.networks.programs.onnx_rules import Rule, option, sizes_of


def convolution(build: OnnxBuilder, step: Step, *, transposed: bool) -> bool:
    """``Conv`` and ``ConvTranspose``; padding that differs from side to side comes before."""
    given = step.arguments
    x, weight, *rest = given["inputs"]
    bias = rest[0] if rest else None
    bias = None if bias is None or build.is_zero(bias) else build.given(bias)
    kernel = sizes_of(build, weight)[2:]
    axes = len(kernel)
    geometry = {
        "stride": tuple(given.get("strides", (1,) * axes)),
        "dilation": tuple(given.get("dilations", (1,) * axes)),
        "groups": given.get("group", 1),
    }
    sides = _padding(build, step, x, kernel)
    if sides is None or (transposed and "output_shape" in given):
        return False
    before, after = sides[:axes], sides[axes:]
    if transposed:
        extra = tuple(given.get("output_padding", (0,) * axes))
        # what is cut off at the end beyond what is cut off at the start was never added
        geometry["output_padding"] = tuple(
            out + start - end for out, start, end in zip(extra, before, after, strict=True)
        )
        if min((*geometry["output_padding"], *before), default=0) < 0:
            return False
        geometry["padding"] = tuple(before)
    elif before == after:
        geometry["padding"] = tuple(before)
    else:
        x = _padded(build, step, x, before, after)
        geometry["padding"] = (0,) * axes
    return layers.convolve(build, step.results[0], x, weight, bias, geometry, transposed=transposed)


def _padding(build: OnnxBuilder, step: Step, x: Any, kernel: Sequence[int]) -> list[int] | None:
    """Entries added before and after each axis; None for an automatic padding without a rule."""
    given, axes = step.arguments, len(kernel)
    how = given.get("auto_pad", "NOTSET")
    if how == "VALID":
        return [0] * (2 * axes)
    if how == "NOTSET":
        return list(given.get("pads", (0,) * (2 * axes)))
    if how not in {"SAME_UPPER", "SAME_LOWER"} or "Transpose" in step.operation:
        return None
    strides = given.get("strides", (1,) * axes)
    dilations = given.get("dilations", (1,) * axes)
    totals = [
        max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
        for size, s, k, d in zip(sizes_of(build, x)[2:], strides, kernel, dilations, strict=True)
    ]
    less, more = [one // 2 for one in totals], [one - one // 2 for one in totals]
    return [*less, *more] if how == "SAME_UPPER" else [*more, *less]


def _padded(
    build: OnnxBuilder, step: Step, x: Any, before: Sequence[int], after: Sequence[int]
) -> Value:
    """Zeros around an image."""
    widths = [one for pair in zip(before[::-1], after[::-1], strict=True) for one in pair]
    name = f"{step.results[0]} padded"
    build.call(name, functional.pad, x, widths)
    return Value(name)


def max_pool(build: OnnxBuilder, step: Step) -> bool:
    """``MaxPool``, padded alike on both sides; its indices are not given."""
    given = step.arguments
    (x,) = given["inputs"]
    kernel = given["kernel_shape"]
    axes, sides = len(kernel), _padding(build, step, x, given["kernel_shape"])
    if sides is None or sides[:axes] != sides[axes:]:
        return False
    pool = getattr(torch, f"max_pool{axes}d")
    stride = list(given.get("strides", (1,) * axes))
    dilation = list(given.get("dilations", (1,) * axes))
    build.call(
        step.results[:1],
        pool,
        x,
        list(kernel),
        stride,
        sides[:axes],
        dilation,
        bool(given.get("ceil_mode")),
    )
    return True


def average_pool(build: OnnxBuilder, step: Step) -> bool:
    """``AveragePool``, padded alike on both sides."""
    given = step.arguments
    (x,) = given["inputs"]
    kernel = given["kernel_shape"]
    axes, sides = len(kernel), _padding(build, step, x, given["kernel_shape"])
    if sides is None or sides[:axes] != sides[axes:] or set(given.get("dilations", (1,))) != {1}:
        return False
    pool = getattr(functional, f"avg_pool{axes}d")
    stride = list(given.get("strides", (1,) * axes))
    counts = bool(given.get("count_include_pad"))
    ceil = bool(given.get("ceil_mode"))
    build.call(step.results, pool, x, list(kernel), stride, sides[:axes], ceil, counts)
    return True


def global_pool(function: Callable[..., Any]) -> Rule:
    """All positions as one."""

    def rule(build: OnnxBuilder, step: Step) -> bool:
        (x,) = step.arguments["inputs"]
        axes = list(range(2, len(sizes_of(build, x))))
        build.call(step.results, function, x, dim=axes, keepdim=True)
        return True

    return rule


def pad(build: OnnxBuilder, step: Step) -> bool:
    """``Pad`` with a number, or by reflection and the like."""
    given = step.arguments
    x = given["inputs"][0]
    widths = option(build, step, 1, "pads")
    mode = given.get("mode", "constant")
    mode = {"edge": "replicate", "wrap": "circular"}.get(mode, mode)
    inputs = given["inputs"]
    value = build.number(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else None
    value = given.get("value") if value is None else value
    if widths is None or (len(inputs) > 3 and inputs[3] is not None):
        return False
    half = len(widths) // 2
    pairs = [one for at in range(half)[::-1] for one in (widths[at], widths[half + at])]
    while pairs[-2:] == [0, 0]:
        pairs = pairs[:-2]
    named: dict[str, Any] = {"mode": mode} if mode != "constant" else {}
    if value:
        named["value"] = value
    build.call(step.results, functional.pad, x, pairs, **named)
    return True


def resize(build: OnnxBuilder, step: Step) -> bool:
    """``Resize`` of images, as torch interpolates."""
    given = step.arguments
    x, *_ = given["inputs"]
    shape = sizes_of(build, x)
    scales, sizes = (
        build.number(given["inputs"][at]) if len(given["inputs"]) > at else None for at in (2, 3)
    )
    if isinstance(sizes, list) and len(sizes) == len(shape):
        size = tuple(sizes[2:])
    elif isinstance(scales, list) and len(scales) == len(shape) and scales[:2] == [1, 1]:
        size = tuple(int(one * factor) for one, factor in zip(shape[2:], scales[2:], strict=True))
        if any(one * s != two for one, s, two in zip(shape[2:], scales[2:], size, strict=True)):
            return False
    else:
        return False
    mode, place = (
        given.get("mode", "nearest"),
        given.get("coordinate_transformation_mode", "half_pixel"),
    )
    if mode == "linear" and place in {"half_pixel", "pytorch_half_pixel"}:
        named: dict[str, Any] = {"mode": "bilinear" if len(shape) == 4 else "linear"}
    elif mode == "linear" and place == "align_corners":
        named = {"mode": "bilinear" if len(shape) == 4 else "linear", "align_corners": True}
    elif mode == "nearest" and place == "asymmetric" and given.get("nearest_mode") == "floor":
        named = {"mode": "nearest"}
    else:
        return False
    build.call(step.results, functional.interpolate, x, size, **named)
    return True


def depth_to_space(build: OnnxBuilder, step: Step) -> bool:
    """Channels to positions, in torch's order."""
    if step.arguments.get("mode", "DCR") != "CRD":
        return False
    (x,) = step.arguments["inputs"]
    build.call(step.results, torch.pixel_shuffle, x, step.arguments["blocksize"])
    return True
