"""Compositions that stand for one function, such as ``x * sigmoid(x)`` for ``silu(x)``.

Exporters take activations and normalizations apart. The parts have no rule where they multiply
values, and the whole has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    shape: Callable[[Any], tuple[int | None, ...] | None],
) -> _Call | None:
    """The one call that a composition stands for, where it is known.

    Args:
        target: what is called last.
        args: its positional arguments.
        named: its arguments by name.
        given: the line that gave each value.
        shape: of a value; None where it is not known.

    Returns:
        Function, arguments, named arguments; None where it is no known composition.
    """
    if named or len(args) != 2:
        return None
    lines = _Lines(given, shape)
    if target is torch.div:
        return lines.gated([args[0], _Inverse(args[1])]) or lines.normalized(*args)
    if target is torch.mul:
        return lines.gated(args) or lines.scaled(*args) or lines.scaled(*args[::-1])
    if target is torch.add:
        return lines.shifted(*args) or lines.shifted(*args[::-1])
    return None


@dataclass(frozen=True, slots=True)
class _Inverse:
    """A factor that divides."""

    value: Any


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines so far, and what is recognised in them."""

    given: Mapping[str, Line]
    shape: Callable[[Any], tuple[int | None, ...] | None]

    def of(self, value: Any, call: Any) -> Line | None:
        """The line that gave a value, if it is a call of this function."""
        line = self.given.get(value.name) if isinstance(value, Value) else None
        return line if line is not None and line.call is call else None

    def factors(self, values: Sequence[Any], until: Sequence[Any] = ()) -> list[Any]:
        """What a product is made of, apart from products among ``until``."""
        found = []
        for value in values:
            line = self.of(value, torch.mul)
            parts: Sequence[Any] = () if line is None or line.named else line.args
            line = self.of(value, torch.div)
            if line is not None and not line.named:
                parts = (line.args[0], _Inverse(line.args[1]))
            whole = not parts or value in until
            found += [value] if whole else self.factors(parts, until)
        return found

    def gated(self, values: Sequence[Any]) -> _Call | None:
        """``silu``, ``hardswish`` or ``gelu``, as a product of x and a gate."""
        for gate in self.factors(values):
            for x, function, scale, named in self._gates(gate):
                rest = self.factors(values, (x, gate))
                wanted = [x, gate] if scale is None else [x, gate, scale]
                if len(rest) == len(wanted) and all(one in rest for one in wanted):
                    return function, (x,), named
        return None

    def _gates(self, gate: Any) -> Iterator[tuple[Any, Any, Any, dict[str, Any]]]:
        """Of which x and which function a value is the gate, times which number."""
        line = self.of(gate, torch.sigmoid)
        if line is not None:
            yield line.args[0], functional.silu, None, {}
        line = self.of(gate, functional.hardsigmoid)
        if line is not None:
            yield line.args[0], functional.hardswish, None, {}
        x = self._clipped(gate)
        if x is not None:
            yield x, functional.hardswish, _Inverse(6), {}
        moved = self._added(gate, 1)
        line = self.of(moved, torch.erf)
        x = None if line is None else self._times(line.args[0], math.sqrt(0.5))
        if x is not None:
            yield x, functional.gelu, 0.5, {}
        line = self.of(moved, torch.tanh)
        inner = None if line is None else self._times(line.args[0], math.sqrt(2 / math.pi))
        total = self.of(inner, torch.add)
        for x, cubic in () if total is None else (total.args[:2], total.args[1::-1]):
            cube = self._times(cubic, _CUBIC)
            power = self.of(cube, torch.pow)
            if self.factors([cube], (x,)) == [x] * 3 or (power and power.args == (x, 3)):
                yield x, functional.gelu, 0.5, {"approximate": "tanh"}

    def _added(self, value: Any, number: float) -> Any:
        """The value that a number was added to; None where none was."""
        line = self.of(value, torch.add)
        if line is None or line.named or number not in line.args:
            return None
        return line.args[0] if line.args[1] == number else line.args[1]

    def _times(self, value: Any, factor: float) -> Any:
        """What a value is that many times, within 32 bits; None where it is not.

        A gate of slightly more or less of x has the same slopes.
        """
        product, ratio = self.of(value, torch.mul), self.of(value, torch.div)
        line = product or ratio
        if line is None or line.named:
            return None
        one, two = line.args
        if product and isinstance(one, int | float):
            one, two = two, one
        if isinstance(one, int | float) or not isinstance(two, int | float) or not two:
            return None
        return one if abs((two if product else 1 / two) / factor - 1) < _ROUNDED else None

    def _clipped(self, value: Any) -> Any:
        """The x of ``min(max(x + 3, 0), 6)``; None where it is none."""
        line = self.of(value, functional.relu6)
        if line is not None:
            return self._added(line.args[0], 3)
        line = self.of(value, torch.clamp) or self.of(value, functional.hardtanh)
        if line is None:
            return None
        ends = _ends(line)
        if ends == [6]:  # first the lower end, then the upper one
            before = self.of(line.args[0], torch.clamp)
            if before is None:
                return None
            ends, line = [*_ends(before), 6], before
        return self._added(line.args[0], 3) if ends == [0, 6] else None

    def normalized(self, x: Any, divisor: Any) -> _Call | None:
        """``x / sqrt(mean(x^2) + epsilon)`` over the last axis, or that of what is centred."""
        root = self.of(divisor, torch.sqrt)
        return None if root is None else self._normalized(x, root.args[0])

    def _normalized(self, x: Any, square: Any) -> _Call | None:
        line, sizes = self.of(square, torch.add), self.shape(x)
        if line is None or line.named or not sizes or sizes[-1] is None:
            return None
        numbers = [one for one in line.args if isinstance(one, float)]
        means = [one for one in line.args if isinstance(one, Value)]
        if len(numbers) != 1 or len(means) != 1 or not self._is_mean_square(means[0], x):
            return None
        centred = self.of(x, torch.sub)
        if centred is not None and self._is_mean(centred.args[1], centred.args[0]):
            return functional.layer_norm, (centred.args[0], sizes[-1:], None, None, numbers[0]), {}
        return functional.rms_norm, (x, sizes[-1:], None, numbers[0]), {}

    def _is_mean(self, value: Any, x: Any) -> bool:
        line = self.of(value, torch.mean)
        keeps = line is not None and bool(line.named.get("keepdim")) and line.args == (x,)
        return keeps and line is not None and self._is_last(line.named.get("dim"), x)

    def _is_last(self, axes: Any, x: Any) -> bool:
        sizes = self.shape(x)
        return sizes is not None and [one % len(sizes) for one in axes or ()] == [len(sizes) - 1]

    def _is_mean_square(self, value: Any, x: Any) -> bool:
        line = self.of(value, torch.mean)
        if line is None or not self._is_mean(value, line.args[0]):
            return False
        power = self.of(line.args[0], torch.pow)
        return (power is not None and power.args == (x, 2)) or self.factors(line.args, (x,)) == [
            x,
            x,
        ]

    def scaled(self, x: Any, other: Any) -> _Call | None:
        """``x * rsqrt(mean(x^2) + epsilon)``, or a normalization times its weight."""
        for call in (functional.rms_norm, functional.layer_norm):
            line = self.of(other, call)
            if line is not None and line.args[2] is None and self.shape(x) == line.args[1]:
                source, shape, _, *rest = line.args
                return call, (source, shape, x, *rest), {}
        line = self.of(other, torch.rsqrt)
        if line is not None:
            return self._normalized(x, line.args[0])
        inverse = self.of(other, torch.reciprocal)
        return None if inverse is None else self.normalized(x, inverse.args[0])

    def shifted(self, bias: Any, other: Any) -> _Call | None:
        """A normalization with its weight, and its bias added."""
        line = self.of(other, functional.layer_norm)
        if line is None or line.args[2] is None or line.args[3] is not None:
            return None
        if self.shape(bias) != line.args[1]:
            return None
        source, shape, weight, _, epsilon = line.args
        return functional.layer_norm, (source, shape, weight, bias, epsilon), {}


_CUBIC = 0.044715
_ROUNDED = 2e-7  # to 32 bits, and more: the rules of these functions have as much room


def _ends(line: Line) -> list[Any]:
    return [one for one in (*line.args[1:], *line.named.values()) if one is not None]
