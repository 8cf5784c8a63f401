"""Compositions that stand for one function, such as ``x * sigmoid(x)`` for ``silu(x)``.

Exporters take activations and normalizations apart. The parts have no rule where they multiply
values, and the whole has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from dlgen_cli.checkpoints.program import Value


@dataclass(frozen=True, slots=True)
class Line:
    """One call of the module.

    Attributes:
        call: a function, or the name of a method of the first argument.
        path: of the module that is called, in the place of a function.
        args: positional arguments; a `Value` stands for what an earlier line gave.
        named: arguments by name.
        results: names of what it gives: of a tuple where there are several.
    """

    call: Callable[..., Any] | str
    path: str
    args: tuple[Any, ...]
    named: Mapping[str, Any]
    results: tuple[str, ...]


_Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def simplified(
    target: Callable[..., Any] | str,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    given: Mapping[str, Line],
    width: Callable[[Any], int | None],
) -> _Call | None:
    """The one call that a composition stands for, where it is known.

    Args:
        target: what is called last.
        args: its positional arguments.
        named: its arguments by name.
        given: the line that gave each value.
        width: the last size of a value; None where it is open.

    Returns:
        Function, arguments, named arguments; None where it is no known composition.
    """
    if named or len(args) != 2:
        return None
    if target is torch.div and args[1] == 6:
        return _hardswish(args[0], given)
    found = (
        _times(x, _line(other, given), given, width)
        for x, other in ((args, args[::-1]) if target is torch.mul else ())
    )
    return next((one for one in found if one is not None), None)


def _times(
    x: Any, line: Line | None, given: Mapping[str, Line], width: Callable[[Any], int | None]
) -> _Call | None:
    """The one call that x times what a line gives stands for."""
    if line is None:
        return None
    if line.call is torch.sigmoid and line.args == (x,):
        return functional.silu, (x,), {}
    is_sixth = line.call is torch.div and line.args[1:] == (6,)
    is_hard = line.call is functional.hardsigmoid and line.args == (x,)
    if is_hard or (is_sixth and _is_gate(line.args[0], x, given)):
        return functional.hardswish, (x,), {}
    return _root_mean_square(x, line, given, width)


def _line(value: Any, given: Mapping[str, Line]) -> Line | None:
    return given.get(value.name) if isinstance(value, Value) else None


def _hardswish(product: Any, given: Mapping[str, Line]) -> _Call | None:
    """``x * min(max(x + 3, 0), 6) / 6``."""
    line = _line(product, given)
    if line is None or line.call is not torch.mul or line.named:
        return None
    for x, gate in (line.args, line.args[::-1]):
        if _is_gate(gate, x, given):
            return functional.hardswish, (x,), {}
    return None


def _is_gate(value: Any, x: Any, given: Mapping[str, Line]) -> bool:
    """Whether a value is ``min(max(x + 3, 0), 6)``."""
    line = _line(value, given)
    if line is None:
        return False
    ends = _ends(line)
    if line.call is torch.clamp and ends == [6]:  # first the lower end, then the upper one
        before = _line(line.args[0], given)
        if before is None or before.call is not torch.clamp:
            return False
        ends, line = [*_ends(before), 6], before
    is_clipped = line.call in {torch.clamp, functional.hardtanh} and ends == [0, 6]
    moved = _line(line.args[0], given) if is_clipped else None
    return moved is not None and moved.call is torch.add and moved.args == (x, 3)


def _ends(line: Line) -> list[Any]:
    return [one for one in (*line.args[1:], *line.named.values()) if one is not None]


def _root_mean_square(
    x: Any, line: Line, given: Mapping[str, Line], width: Callable[[Any], int | None]
) -> _Call | None:
    """``x / sqrt(mean(x^2) + epsilon)`` over the last axis, and the same times a weight."""
    if line.call is functional.rms_norm and line.args[2] is None and width(x) == line.args[1][0]:
        source, shape, _, epsilon = line.args  # the other factor is the weight
        return functional.rms_norm, (source, shape, x, epsilon), {}
    if line.call is not torch.rsqrt:
        return None
    moved = _line(line.args[0], given)
    if moved is None or moved.call is not torch.add or not isinstance(moved.args[1], float):
        return None
    mean = _line(moved.args[0], given)
    if mean is None or mean.call is not torch.mean or not mean.named.get("keepdim"):
        return None
    square = _line(mean.args[0], given)
    is_square = square is not None and square.call is torch.pow and square.args == (x, 2)
    size = width(x)
    if not is_square or list(mean.named.get("dim", ())) != [-1] or size is None:
        return None
    return functional.rms_norm, (x, (size,), None, moved.args[1]), {}
