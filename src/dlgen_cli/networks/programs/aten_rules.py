"""How arguments of the operations of ``torch.export`` become those of torch's functions.

Each rule adds lines to a module that is built, and says whether it knows the arguments.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from dlgen_cli.checkpoints.program import ElementType, Step, Value
from dlgen_cli.checkpoints.stored import FLOATING
from dlgen_cli.networks.programs.module import Builder

Rule: TypeAlias = Callable[[Builder, Step], bool]
Target: TypeAlias = Callable[..., Any] | str
_NO_END = (1 << 63) - 1
#: Where and how entries lie, and how they are computed: the values are the same.
_OF_MEMORY = frozenset(
    (
        "memory_format",
        "layout",
        "device",
        "pin_memory",
        "non_blocking",
        "copy",
        "implicit",
        "cudnn_enabled",
        "cudnn_enable",
        "half_to_float",
    )
)


def _is_default(name: str, value: Any) -> bool:
    is_real = isinstance(value, ElementType) and value.name in FLOATING
    return value is None or name in _OF_MEMORY or (name == "dtype" and is_real)


def plain(
    target: Target, names: str, keywords: str = "", *, single: bool = False, **fixed: Any
) -> Rule:
    """A call with the same arguments.

    Args:
        target: a function, or the name of a method.
        names: arguments by position.
        keywords: arguments by name; ``a=b`` where the target calls b what the file calls a.
        single: it has one result, where the file tells several.
        **fixed: further arguments.
    """
    positions = names.split()
    renamed = {one.partition("=")[0]: one.partition("=")[2] or one for one in keywords.split()}

    def rule(build: Builder, step: Step) -> bool:
        given = step.arguments
        known = {*positions, *renamed}
        if any(key not in known and not _is_default(key, one) for key, one in given.items()):
            return False
        args = []
        for name in positions:
            if name not in given:
                break
            args.append(given[name])
        later = {one: given[one] for one in positions[len(args) :] if one in given}
        if later:
            return False
        named = {to: given[key] for key, to in renamed.items() if key in given}
        results = step.results[:1] if single else step.results
        build.call(results, target, *args, **named, **fixed)
        return True

    return rule


def sized(target: Target, name: str) -> Rule:
    """A call with a size whose first axis is the batch, where the file fixes one."""

    def rule(build: Builder, step: Step) -> bool:
        source, size = step.arguments["self"], list(step.arguments[name])
        told = step.shapes[0]
        if build.batch is not None and told and None not in told and build.follows_input(source):
            shape = build.shape(source)
            if build.batch in {told[0], shape[0] if shape else None}:
                size = [-1, *told[1:]]
        build.call(step.results, target, source, size)
        return True

    return rule


def expand(build: Builder, step: Step) -> bool:
    """Copies along axes of size one; along the batch as many as there are examples."""
    source, size = step.arguments["self"], list(step.arguments["size"])
    shape = build.shape(source)
    grows = shape is not None and (len(shape) < len(size) or shape[0] in {1, build.batch})
    if build.batch is not None and size and size[0] == build.batch and grows:
        size[0] = build.batch_size()
    build.call(step.results, "expand", source, size)
    return True


def alias(build: Builder, step: Step) -> bool:
    """The first argument itself."""
    build.alias(step.results[0], next(iter(step.arguments.values())))
    return True


def drop_out(build: Builder, step: Step) -> bool:
    """Dropout, which is the identity in evaluation."""
    return not step.arguments.get("train") and alias(build, step)


def cast(build: Builder, step: Step) -> bool:
    """Another type of real numbers is the same number; other types are asked of torch."""
    source, wanted = step.arguments["self"], step.arguments.get("dtype")
    if wanted is None or (wanted.name in FLOATING and build.dtype(source) in FLOATING):
        build.alias(step.results[0], source)
        return True
    build.call(step.results, "to", source, getattr(torch, wanted.name))
    return True


def slice_of(build: Builder, step: Step) -> bool:
    """A range of one axis."""
    given = step.arguments
    shape = build.shape(given["self"])
    if shape is None:
        return False
    start, end = given.get("start"), given.get("end")
    part = slice(start, None if end == _NO_END else end, given.get("step", 1))
    before = [slice(None)] * (given.get("dim", 0) % len(shape))
    if part == slice(0, None, 1) or part == slice(None, None, 1):
        build.alias(step.results[0], given["self"])
        return True
    build.call(step.results, operator.getitem, given["self"], (*before, part))
    return True


def pick(build: Builder, step: Step) -> bool:
    """Entries by indices."""
    picked = tuple(slice(None) if one is None else one for one in step.arguments["indices"])
    build.call(step.results, operator.getitem, step.arguments["self"], picked)
    return True


def size_of(build: Builder, step: Step) -> bool:
    """The size of an axis."""
    build.call(step.results, "size", step.arguments["self"], step.arguments["dim"])
    return True


def resize(mode: str, *, antialias: bool = False) -> Rule:
    """Interpolation to a size, or by the factors that the file tells where they are no ratios."""

    def rule(build: Builder, step: Step) -> bool:
        given = step.arguments
        size, factors = given.get("output_size"), given.get("scale_factors")
        shape = step.shapes[0]
        if size is None and shape is not None and None not in shape[2:]:
            size = shape[2:]
        named = {"align_corners": given["align_corners"]} if given.get("align_corners") else {}
        known = {"input", "self", "output_size", "scale_factors", "align_corners"}
        if size is None or given.keys() - known:
            return False
        # a factor that the file tells beside the size is the one that places the cells
        is_ratio = factors is None or _is_ratio(build.shape(given.get("input")), size, factors)
        named |= {"size": tuple(size)} if is_ratio else {"scale_factor": tuple(factors or ())}
        named |= {"antialias": True} if antialias else {}
        source = given.get("input", given.get("self"))
        build.call(step.results, functional.interpolate, source, mode=mode, **named)
        return True

    return rule


def _is_ratio(
    before: Sequence[int | None] | None, after: Sequence[int], factors: Sequence[float]
) -> bool:
    return before is not None and all(
        one is not None and one * factor == two
        for one, two, factor in zip(before[2:], after, factors, strict=True)
    )


def filled(value: float | None) -> Rule:
    """A tensor of one value, of a size that may begin with the batch."""

    def rule(build: Builder, step: Step) -> bool:
        given = step.arguments
        entry = given["fill_value"] if value is None else value
        size = given.get("size")
        if size is None:
            build.call(step.results, torch.full_like, given["self"], entry)
            return True
        size = list(size)
        if build.batch is not None and size and size[0] == build.batch:
            size[0] = build.batch_size()
        wanted = given.get("dtype")
        kind = {"dtype": getattr(torch, wanted.name)} if isinstance(wanted, ElementType) else {}
        build.call(step.results, torch.full, size, entry, **kind)
        return True

    return rule


def range_of(build: Builder, step: Step) -> bool:
    """``arange``."""
    given = step.arguments
    ends = [given[name] for name in ("start", "end", "step") if name in given]
    wanted = given.get("dtype")
    kind = {"dtype": getattr(torch, wanted.name)} if isinstance(wanted, ElementType) else {}
    build.call(step.results, torch.arange, *ends, **kind)
    return True


def attend(build: Builder, step: Step) -> bool:
    """Scaled dot-product attention in evaluation."""
    given = dict(step.arguments)
    if given.get("dropout_p"):
        return False
    named = {
        key: given[key]
        for key in ("attn_mask", "is_causal", "scale", "enable_gqa")
        if given.get(key)
    }
    build.call(
        step.results[:1],
        functional.scaled_dot_product_attention,
        given["query"],
        given["key"],
        given["value"],
        **named,
    )
    return True


def gate(build: Builder, step: Step) -> bool:
    """``glu``: the first half times the sigmoid of the second."""
    source, axis = step.arguments["self"], step.arguments.get("dim", -1)
    name = step.results[0]
    halves = (f"{name} first", f"{name} second")
    build.call(halves, torch.chunk, source, 2, axis)
    build.call(f"{name} gate", torch.sigmoid, Value(halves[1]))
    build.call(name, torch.mul, Value(halves[0]), Value(f"{name} gate"))
    return True
