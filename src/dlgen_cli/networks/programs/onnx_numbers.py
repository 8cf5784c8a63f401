"""Arithmetic of sizes in ONNX: numbers and lists of them are computed when a module is built.

A size that depends on the number of examples stands as a `Value`; it is computed with the network.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any

from dlgen_cli.checkpoints.program import Step, Value
from dlgen_cli.networks.programs.onnx_builder import OnnxBuilder

_MOST = 4096  # numbers of one list


def compute(build: OnnxBuilder, step: Step) -> bool:
    """Compute a step whose inputs are numbers.

    Returns:
        Whether it was: all its inputs are numbers, and so is its result.
    """
    rule = _RULES.get(step.operation)
    values = [one for one in step.arguments["inputs"] if one is not None]
    if rule is None or not values or not all(map(build.is_number, values)):
        return False
    given = [None if one is None else build.number(one) for one in step.arguments["inputs"]]
    found = rule(build, step, given)
    if found is None:
        return False
    build.set_number(step.results[0], found)
    return True


_Rule = Callable[[OnnxBuilder, Step, list[Any]], Any]


def _elementwise(function: Callable[[Any, Any], Any]) -> _Rule:
    def rule(build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
        left, right = given

        def of(one: Any, two: Any) -> Any:
            if not isinstance(one, Value) and not isinstance(two, Value):
                return function(one, two)
            if function is operator.eq:
                return False  # with -1: no size is
            name = f"size {len(build.lines)}"
            build.call(name, function, one, two)
            return Value(name)

        if not isinstance(left, list) and not isinstance(right, list):
            return of(left, right)
        count = max(len(one) for one in (left, right) if isinstance(one, list))
        ones, twos = (
            one if isinstance(one, list) and len(one) == count else repeat(_first(one), count)
            for one in (left, right)
        )
        return [of(one, two) for one, two in zip(ones, twos, strict=False)]

    return rule


def _first(number: Any) -> Any:
    return number[0] if isinstance(number, list) else number


def _divide(left: Any, right: Any) -> Any:
    """Whole numbers are divided toward zero."""
    if isinstance(left, int) and isinstance(right, int):
        return int(math.copysign(abs(left) // abs(right), left * right)) if left else 0
    return operator.floordiv(left, right) if isinstance(left, Value) else left / right


def _join(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    found = [item for one in given for item in (one if isinstance(one, list) else [one])]
    return found if len(found) <= _MOST else None


def _take(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    entries, at = given
    if not isinstance(entries, list):
        return None
    return [entries[one] for one in at] if isinstance(at, list) else entries[at]


def _same(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    return given[0]


def _wrap(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    return None if isinstance(given[0], list) else [given[0]]


def _unwrap(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    return given[0][0] if isinstance(given[0], list) and len(given[0]) == 1 else None


def _part(_build: OnnxBuilder, step: Step, given: list[Any]) -> Any:
    if len(given) < 3:
        starts, ends = step.arguments["starts"], step.arguments["ends"]
    else:
        starts, ends = given[1], given[2]
    step_size = _first(given[4]) if len(given) > 4 and given[4] is not None else 1
    return given[0][_first(starts) : _first(ends) : step_size]


def _cast(_build: OnnxBuilder, step: Step, given: list[Any]) -> Any:
    kind: Callable[[Any], Any] = {1: float, 11: float, 9: bool}.get(step.arguments["to"], int)
    entries = given[0]

    def of(one: Any) -> Any:
        return one if isinstance(one, Value) else kind(one)

    return [of(one) for one in entries] if isinstance(entries, list) else of(entries)


def _choose(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    conditions, ones, twos = given
    if not isinstance(conditions, list):
        return ones if conditions else twos
    count = len(conditions)
    left, right = (one if isinstance(one, list) else [one] * count for one in (ones, twos))
    return [one if yes else two for yes, one, two in zip(conditions, left, right, strict=True)]


def _product(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    plain = isinstance(given[0], list) and not any(isinstance(one, Value) for one in given[0])
    return math.prod(given[0]) if plain else None


def _filled(_build: OnnxBuilder, step: Step, given: list[Any]) -> Any:
    (size,) = given
    is_list = isinstance(size, list) and len(size) == 1 and isinstance(size[0], int)
    if not is_list or "value" in step.arguments or not 0 <= size[0] <= _MOST:
        return None
    return [0] * size[0]


def _expanded(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    """A list that its size leaves as it is."""
    entries, size = given
    return entries if isinstance(entries, list) and size in ([1], [len(entries)]) else None


def _reshaped(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    """One axis, or none."""
    entries, size = given
    found = entries if isinstance(entries, list) else [entries]
    if size in ([-1], [len(found)]):
        return found
    return found[0] if size == [] and len(found) == 1 else None


def _counted(_build: OnnxBuilder, _step: Step, given: list[Any]) -> Any:
    if not all(isinstance(one, int) for one in given):
        return None
    found = range(*given)
    return list(found) if len(found) <= _MOST else None


_RULES: Mapping[str, _Rule] = {
    "Add": _elementwise(operator.add),
    "Sub": _elementwise(operator.sub),
    "Mul": _elementwise(operator.mul),
    "Div": _elementwise(_divide),
    "Mod": _elementwise(operator.mod),
    "Equal": _elementwise(operator.eq),
    "Max": _elementwise(max),
    "Min": _elementwise(min),
    "Concat": _join,
    "Gather": _take,
    "Slice": _part,
    "Identity": _same,
    "CastLike": _same,
    "Unsqueeze": _wrap,
    "Squeeze": _unwrap,
    "Cast": _cast,
    "Where": _choose,
    "ReduceProd": _product,
    "ConstantOfShape": _filled,
    "Range": _counted,
    "Reshape": _reshaped,
    "Expand": _expanded,
}
