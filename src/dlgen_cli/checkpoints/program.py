"""The computation that a file brings beside its weights, as plain facts: nothing of it is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dlgen_cli.checkpoints.stored import StoredTensor

#: What a name of a tensor may consist of to be the path of a module: such paths become code.
NAME_MARKS = r"[A-Za-z0-9_:/@+\-]+(\.[A-Za-z0-9_:/@+\-]+)*"
#: Steps of one program.
MOST_STEPS = 200_000


@dataclass(frozen=True, slots=True)
class Value:
    """An argument that an input, a stored tensor or an earlier step gives.

    Attributes:
        name: of the value.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ElementType:
    """An argument that is a type of entries.

    Attributes:
        name: torch's.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """An argument of a kind that no rule reads, such as a graph of its own.

    Attributes:
        kind: as the file names it.
    """

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call.

    Attributes:
        operation: as the file names it: ``aten.conv2d.default``, ``Conv``.
        arguments: by name, in order: `Value`, numbers, texts, None, `ElementType`, and lists of
            them.
        results: names of the values that it gives.
        shapes: of those values as the file tells them, None for an axis that it leaves open; None
            where it tells nothing.
    """

    operation: str
    arguments: Mapping[str, Any]
    results: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...] | None, ...]
    dtypes: tuple[str | None, ...]

    def values(self) -> Iterator[Value]:
        """Every value among the arguments, in order, also inside lists."""
        return values_in(list(self.arguments.values()))


def values_in(arguments: Sequence[Any]) -> Iterator[Value]:
    """Every value among arguments, in order, also inside lists and ranges."""
    waiting = list(arguments)
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, Value):
            yield item
        elif isinstance(item, list | tuple):
            waiting[:0] = item
        elif isinstance(item, slice):
            waiting[:0] = [item.start, item.stop, item.step]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramInput:
    """What a program takes.

    Attributes:
        name: of the value.
        shape: with the batch first; None for an axis that is open.
        dtype: torch's name of its type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A straight line of calls, checked: every value is given before it is read.

    Attributes:
        dialect: whose operations they are.
        inputs: what it takes, in order.
        tensors: names of stored tensors, by the value that stands for each.
        steps: in order.
        output: the value that it gives; the first, where it gives several.
        outputs: how many it gives.
        constants: tensors that are the program's and not its state, by the names among ``tensors``.
        numbers: numbers and lists of them that the file gives, by the value that stands for each.
    """

    dialect: Literal["aten", "onnx"]
    inputs: Sequence[ProgramInput]
    tensors: Mapping[str, str]
    steps: Sequence[Step]
    output: str
    outputs: int = 1
    constants: Mapping[str, StoredTensor] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)


def require_straight(program: Program) -> None:
    """Check that every value is given once, and before it is read.

    Raises:
        ValueError: a value is read that nothing gave, or given twice: the steps run in a circle or
            are not in order.
    """
    if len(program.steps) > MOST_STEPS:
        raise ValueError(f"{len(program.steps):,} steps; at most {MOST_STEPS:,} are read")
    starts = [*(one.name for one in program.inputs), *program.tensors, *program.numbers]
    given = set(starts)
    if len(given) < len(starts):
        raise ValueError("two inputs of the same name")
    for step in program.steps:
        for value in step.values():
            if value.name not in given:
                raise ValueError(
                    f"{step.operation} reads {value.name}, which no step before it gives"
                )
        for name in step.results:
            if name in given:
                raise ValueError(f"{name} is given twice")
            given.add(name)
    if program.output not in given:
        raise ValueError(f"the output {program.output} is given by no step")
