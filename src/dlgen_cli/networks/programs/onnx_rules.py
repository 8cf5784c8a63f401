"""How inputs and attributes of ONNX's operations become arguments of torch's functions.

Each rule adds lines to a module that is built, and says whether it knows the arguments.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from dlgen_cli.checkpoints.program import Opaque, Step, Value
from dlgen_cli.networks.programs import layers
from dlgen_cli.networks.programs.onnx_builder import OnnxBuilder

Rule: TypeAlias = Callable[[OnnxBuilder, Step], bool]
_FAR = 1 << 31  # ends of slices beyond it mean the end
_TYPES = {
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
}
_REAL_TYPES = {1, 10, 11, 16}


def sizes_of(build: OnnxBuilder, value: Any) -> tuple[int, ...]:
    """The shape of a value.

    Raises:
        ValueError: it has none.
    """
    shape = build.shape(value)
    if shape is None or None in shape:
        raise ValueError("a shape that is not known")
    return tuple(size or 0 for size in shape)


def _whole(numbers: Any) -> list[int]:
    """A number or a list of them, none of which depends on the number of examples.

    Raises:
        TypeError: one is no whole number.
    """
    found = numbers if isinstance(numbers, list | tuple) else [numbers]
    if not all(isinstance(one, int) for one in found):
        raise TypeError("numbers that are not known beforehand")
    return list(found)


def option(build: OnnxBuilder, step: Step, place: int, name: str) -> list[int] | None:
    """A list of whole numbers that later versions take as an input, and earlier as an attribute."""
    inputs = step.arguments["inputs"]
    if len(inputs) > place and inputs[place] is not None:
        return _whole(build.number(inputs[place]))
    return _whole(step.arguments[name]) if name in step.arguments else None


def general_product(build: OnnxBuilder, step: Step) -> bool:
    """``Gemm``: a linear layer."""
    given = step.arguments
    if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA"):
        return False
    x, matrix, *rest = given["inputs"]
    bias = rest[0] if rest else None
    if not given.get("transB"):
        if bias is None:
            return product(build, step)
        build.call(step.results, torch.addmm, build.given(bias), x, matrix)
        return True
    if bias is not None and build.number(bias) is not None:
        return False
    layers.multiply(build, step.results[0], x, matrix, bias)
    return True


def product(build: OnnxBuilder, step: Step) -> bool:
    """``MatMul``: a linear layer where the second factor is a weight, with the bias after it."""
    x, matrix = step.arguments["inputs"][:2]
    if step.arguments.get("transB"):  # the reader turned the matrix
        result, bias = step.results[0], None
        after = build.only_reader(result)
        if after is not None and after.operation == "Add":
            (other,) = [one for one in after.arguments["inputs"] if one != Value(result)] or [None]
            shape = None if other is None or build.stored(other) is None else build.shape(other)
            if shape == sizes_of(build, matrix)[:1]:
                result, bias = after.results[0], other
                build.finish(after)
        layers.multiply(build, result, x, matrix, bias)
        return True
    build.call(step.results, torch.matmul, x, matrix)
    return True


def batch_norm(build: OnnxBuilder, step: Step) -> bool:
    """``BatchNormalization`` in evaluation."""
    given = step.arguments
    x, weight, bias, mean, variance = given["inputs"]
    if given.get("training_mode") or not given.get("spatial", 1):
        return False
    return layers.normalize_batch(
        build, step.results[0], x, weight, bias, mean, variance, given.get("epsilon", 1e-5)
    )


def layer_norm(build: OnnxBuilder, step: Step) -> bool:
    """``LayerNormalization`` over the last axes."""
    given = step.arguments
    x, weight, *rest = given["inputs"]
    shape = sizes_of(build, x)
    layers.normalize_layer(
        build,
        step.results[0],
        x,
        shape[given.get("axis", -1) % len(shape) :],
        weight,
        rest[0] if rest else None,
        given.get("epsilon", 1e-5),
    )
    return True


def rms_norm(build: OnnxBuilder, step: Step) -> bool:
    """Normalization by the root of the mean square, over the last axes."""
    given = step.arguments
    x, weight = given["inputs"][:2]
    shape = sizes_of(build, x)
    shape = shape[given.get("axis", -1) % len(shape) :]
    epsilon = given.get("epsilon", 1e-5)
    build.call(step.results[:1], functional.rms_norm, x, shape, weight, epsilon)
    return True


def instance_norm(build: OnnxBuilder, step: Step) -> bool:
    """``InstanceNormalization``."""
    x, weight, bias = step.arguments["inputs"]
    given = {"weight": weight, "bias": bias, "eps": step.arguments.get("epsilon", 1e-5)}
    build.call(step.results, functional.instance_norm, x, **given)
    return True


def group_norm(build: OnnxBuilder, step: Step) -> bool:
    """``GroupNormalization``, with factors for each channel."""
    x, weight, bias = step.arguments["inputs"]
    groups, epsilon = step.arguments["num_groups"], step.arguments.get("epsilon", 1e-5)
    if sizes_of(build, weight) != sizes_of(build, x)[1:2]:
        return False  # one for each group, before version 21
    layers.normalize_groups(build, step.results[0], x, groups, weight, bias, epsilon)
    return True


def prelu(build: OnnxBuilder, step: Step) -> bool:
    """``PRelu`` with a slope for each channel, or one."""
    x, slopes = step.arguments["inputs"]
    if math.prod(sizes_of(build, slopes)) not in {1, sizes_of(build, x)[1]}:
        return False
    if len(sizes_of(build, slopes)) == 1:
        return layers.rectify(build, step.results[0], x, slopes)
    flat = f"{step.results[0]} slopes"
    build.call(flat, torch.flatten, slopes)
    build.call(step.results, torch.prelu, x, Value(flat))
    return True


def selu(build: OnnxBuilder, step: Step) -> bool:
    """``Selu`` with torch's constants."""
    if step.arguments.keys() & {"alpha", "gamma"}:
        return False
    build.call(step.results, torch.selu, *step.arguments["inputs"])
    return True


def hard_sigmoid(build: OnnxBuilder, step: Step) -> bool:
    """``max(0, min(1, alpha x + beta))``."""
    alpha, beta = step.arguments.get("alpha", 0.2), step.arguments.get("beta", 0.5)
    (x,) = step.arguments["inputs"]
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:  # a sixth in 32 bits
        build.call(step.results, functional.hardsigmoid, x)
        return True
    scaled, moved = (f"{step.results[0]} {what}" for what in ("scaled", "moved"))
    build.call(scaled, torch.mul, x, alpha)
    build.call(moved, torch.add, Value(scaled), beta)
    build.call(step.results, torch.clamp, Value(moved), min=0.0, max=1.0)
    return True


def clip(build: OnnxBuilder, step: Step) -> bool:
    """``Clip``; its ends were attributes once."""
    x, *ends = step.arguments["inputs"]
    given = {name: step.arguments[name] for name in ("min", "max") if name in step.arguments}
    for name, end in zip(("min", "max"), ends, strict=False):
        if end is not None:
            given[name] = build.number(end)
    if any(isinstance(one, list) and len(one) != 1 for one in given.values()):
        return False
    given = {name: one[0] if isinstance(one, list) else one for name, one in given.items()}
    if None in given.values():
        return False
    if set(given) == {"min", "max"}:
        build.call(step.results, functional.hardtanh, x, given["min"], given["max"])
    else:
        build.call(step.results, torch.clamp, x, **given)
    return True


def total(build: OnnxBuilder, step: Step) -> bool:
    """``Sum`` of several values."""
    return folded(torch.add)(build, step)


def folded(function: Callable[..., Any]) -> Rule:
    """A function of two values, for several."""

    def rule(build: OnnxBuilder, step: Step) -> bool:
        first, *others = build.inputs(step)
        if not others:
            return alias(build, step)
        for at, other in enumerate(others):
            last = at == len(others) - 1
            result = step.results[0] if last else f"{step.results[0]} {at}"
            build.call(result, function, first, other)
            first = Value(result)
        return True

    return rule


def reduce(function: Callable[..., Any]) -> Rule:
    """One number of all along some axes."""

    def rule(build: OnnxBuilder, step: Step) -> bool:
        x = step.arguments["inputs"][0]
        axes = option(build, step, 1, "axes")
        if not axes:
            if step.arguments.get("noop_with_empty_axes"):
                return alias(build, step)
            axes = list(range(len(sizes_of(build, x))))
        keeps = bool(step.arguments.get("keepdims", 1))
        build.call(step.results, function, x, dim=axes, keepdim=keeps)
        return True

    return rule


def softmax(function: Callable[..., Any]) -> Rule:
    """Along one axis; before version 13 along all from one on."""

    def rule(build: OnnxBuilder, step: Step) -> bool:
        (x,) = step.arguments["inputs"]
        axes = len(sizes_of(build, x))
        is_old = step.arguments["opset"] < 13
        axis = step.arguments.get("axis", 1 if is_old else -1) % axes
        if is_old and axis != axes - 1:
            return False
        build.call(step.results, function, x, axis)
        return True

    return rule


def flatten(build: OnnxBuilder, step: Step) -> bool:
    """All axes from one on as one, and those before it."""
    (x,) = step.arguments["inputs"]
    axis = step.arguments.get("axis", 1)
    if axis != 1:
        return False
    build.call(step.results, torch.flatten, x, 1)
    return True


def reshape(build: OnnxBuilder, step: Step) -> bool:
    """To a size; 0 stands for that of the input."""
    x = step.arguments["inputs"][0]
    size = build.number(step.arguments["inputs"][1]) if len(step.arguments["inputs"]) > 1 else None
    size = step.arguments.get("shape") if size is None else size
    if not isinstance(size, list):
        return False
    shape, found = sizes_of(build, x), build.batched(x, size)
    if not step.arguments.get("allowzero"):
        found = [
            (shape[at] if at else _first_size(build, x, found)) if one == 0 else one
            for at, one in enumerate(found)
        ]
    build.call(step.results, torch.reshape, x, found)
    return True


def _first_size(build: OnnxBuilder, x: Any, size: Sequence[Any]) -> Any:
    """The first axis of a value; it may be the batch."""
    if not build.follows_input(x) or sizes_of(build, x)[0] != 1:
        return sizes_of(build, x)[0]
    return -1 if -1 not in size else build.batch_size()


def transpose(build: OnnxBuilder, step: Step) -> bool:
    """Axes in another order."""
    (x,) = step.arguments["inputs"]
    axes = len(sizes_of(build, x))
    order = step.arguments.get("perm", list(range(axes))[::-1])
    if axes == 2 and order == [1, 0]:
        build.transposes(step.results[0], x)
    build.call(step.results, torch.permute, x, list(order))
    return True


def concatenate(build: OnnxBuilder, step: Step) -> bool:
    """Along an axis."""
    build.call(step.results, torch.cat, build.inputs(step), dim=step.arguments["axis"])
    return True


def slice_of(build: OnnxBuilder, step: Step) -> bool:
    """Ranges of axes."""
    x = step.arguments["inputs"][0]
    starts, ends = (option(build, step, at, name) for at, name in ((1, "starts"), (2, "ends")))
    if starts is None or ends is None:
        return False
    axes = option(build, step, 3, "axes") or list(range(len(starts)))
    steps = option(build, step, 4, "steps") or [1] * len(starts)
    count = len(sizes_of(build, x))
    ranges = [slice(None)] * count
    for axis, start, end, pace in zip(axes, starts, ends, steps, strict=True):
        if pace < 1:
            return False
        ranges[axis % count] = slice(start, None if end >= _FAR else end, pace)
    build.call(step.results, operator.getitem, x, tuple(ranges))
    return True


def split(build: OnnxBuilder, step: Step) -> bool:
    """Into parts along an axis."""
    x = step.arguments["inputs"][0]
    axis = step.arguments.get("axis", 0)
    size = sizes_of(build, x)[axis]
    parts = option(build, step, 1, "split")
    if parts is None:
        each = math.ceil(size / len(step.results))
        parts = [min(each, size - at) for at in range(0, size, each)]
    if len(parts) != len(step.results):
        return False
    if len(parts) == 1:
        return alias(build, step)
    build.call(step.results, torch.split, x, parts, dim=axis)
    return True


def squeeze(build: OnnxBuilder, step: Step) -> bool:
    """Without axes of one entry."""
    x = step.arguments["inputs"][0]
    axes = option(build, step, 1, "axes")
    if axes is None:
        axes = [at for at, size in enumerate(sizes_of(build, x)) if size == 1 and at]
    build.call(step.results, torch.squeeze, x, tuple(axes))
    return True


def unsqueeze(build: OnnxBuilder, step: Step) -> bool:
    """With axes of one entry."""
    x = build.given(step.arguments["inputs"][0])
    axes = option(build, step, 1, "axes")
    if axes is None or not isinstance(x, Value):
        return False
    count = len(sizes_of(build, x)) + len(axes)
    order = sorted(axis % count for axis in axes)
    for at, axis in enumerate(order):
        result = step.results[0] if at == len(order) - 1 else f"{step.results[0]} {at}"
        build.call(result, torch.unsqueeze, x, axis)
        x = Value(result)
    return True


def gather(build: OnnxBuilder, step: Step) -> bool:
    """One place of an axis, or the rows of a table."""
    table, at = step.arguments["inputs"]
    axis, place = step.arguments.get("axis", 0), build.number(at)
    if isinstance(place, int):
        build.call(step.results, torch.select, table, axis, place)
        return True
    if build.stored(table) is not None and axis == 0 and len(sizes_of(build, table)) == 2:
        return layers.look_up(build, step.results[0], build.given(at), table)
    indices = build.given(at)
    if len(sizes_of(build, indices)) != 1:
        return False
    build.call(step.results, torch.index_select, table, axis, indices)
    return True


def expand(build: OnnxBuilder, step: Step) -> bool:
    """Copies along axes of one entry, to a size that may be smaller on others."""
    x, wanted = step.arguments["inputs"]
    number, size = build.number(x), build.number(wanted)
    if not isinstance(size, list):
        return False
    if number is not None and not isinstance(number, list):
        build.call(step.results, torch.full, size, number)
        return True
    source = build.given(x)
    shape = sizes_of(build, source)
    count = max(len(shape), len(size))
    own, other = ([1] * (count - len(one)) + list(one) for one in (shape, size))
    found = [two if one == 1 else one for one, two in zip(own, other, strict=True)]
    if build.batch is not None and found[0] == build.batch and own[0] == 1:
        found[0] = build.batch_size()
    build.call(step.results, "expand", source, found)
    return True


def tile(build: OnnxBuilder, step: Step) -> bool:
    """Copies along axes."""
    x, copies = step.arguments["inputs"]
    build.call(step.results, "repeat", x, build.number(copies))
    return True


def alias(build: OnnxBuilder, step: Step) -> bool:
    """The first input itself."""
    build.alias(step.results[0], step.arguments["inputs"][0])
    return True


def drop_out(build: OnnxBuilder, step: Step) -> bool:
    """Dropout, which is the identity in evaluation."""
    inputs = step.arguments["inputs"]
    training = build.number(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else False
    return not training and alias(build, step)


def cast(build: OnnxBuilder, step: Step) -> bool:
    """Another type; of real numbers the same number."""
    (x,), kind = step.arguments["inputs"], step.arguments["to"]
    source = build.given(x)
    if kind in _REAL_TYPES:
        if build.is_real(source):
            return alias(build, step)
        build.call(step.results, "float", source)
        return True
    if kind not in _TYPES:
        return False
    build.call(step.results, "to", source, getattr(torch, _TYPES[kind]))
    return True


def shape_of(build: OnnxBuilder, step: Step) -> bool:
    """The sizes of a value, as numbers; the batch stays open."""
    (x,) = step.arguments["inputs"]
    numbers: list[Any] = list(sizes_of(build, build.given(x)))
    if numbers and numbers[0] == 1 and build.follows_input(x):
        name = f"{step.results[0]} batch"
        build.call(name, "size", x, 0)
        numbers[0] = Value(name)
    start, end = step.arguments.get("start", 0), step.arguments.get("end")
    build.set_number(step.results[0], numbers[start:end])
    return True


def constant_of_shape(build: OnnxBuilder, step: Step) -> bool:
    """A tensor of one number."""
    size = build.number(step.arguments["inputs"][0])
    entry = step.arguments.get("value", 0.0)
    if not isinstance(size, list) or isinstance(entry, Opaque):
        return False
    build.call(step.results, torch.full, size, entry[0] if isinstance(entry, list) else entry)
    return True


def triangle(build: OnnxBuilder, step: Step) -> bool:
    """The upper or the lower triangle."""
    x, *rest = step.arguments["inputs"]
    diagonal = build.number(rest[0]) if rest and rest[0] is not None else 0
    function = torch.triu if step.arguments.get("upper", 1) else torch.tril
    build.call(step.results, function, x, diagonal)
    return True


def einsum(build: OnnxBuilder, step: Step) -> bool:
    """A sum of products by its equation."""
    build.call(step.results, torch.einsum, step.arguments["equation"], *build.inputs(step))
    return True
