"""What ONNX's operations build a module with: shapes by evaluation without entries, and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.program import Program, Step, Value, values_in
from dlgen_cli.networks.programs.module import Builder


class OnnxBuilder(Builder):
    """A builder that knows the shape of every value, as the file may tell none.

    Args:
        program: of the dialect ``onnx``.
        checkpoint: holds its tensors.
        input_shape: of one example.
    """

    def __init__(
        self, program: Program, checkpoint: Checkpoint, input_shape: tuple[int, ...]
    ) -> None:
        super().__init__(program, checkpoint)
        (source,) = program.inputs
        kind = getattr(torch, source.dtype, torch.float32)
        kind = torch.float32 if kind.is_floating_point else kind
        self._values: dict[str, Any] = {
            source.name: torch.empty((1, *input_shape), dtype=kind, device="meta")
        }
        self._numbers = dict(program.numbers)
        self._done: set[str] = set()
        self._readers = Counter(one.name for step in program.steps for one in step.values())
        self._by_input: dict[str, Step] = {
            one.name: step for step in program.steps for one in step.values()
        }

    def inputs(self, step: Step) -> list[Any]:
        """The inputs of a step; numbers as such."""
        return [self.given(one) for one in step.arguments["inputs"]]

    def given(self, value: Any) -> Any:
        """An argument: a single number as such, several as a tensor."""
        found = self.number(value)
        if isinstance(found, list):
            return self.as_tensor(found)
        return value if found is None else found

    def number(self, value: Any) -> Any:
        """The number or list of numbers that a value is; None where it is a tensor.

        Sizes that depend on the number of examples stand as a `Value`.
        """
        value = self.resolved(value)
        return self._numbers.get(value.name) if isinstance(value, Value) else None

    def is_number(self, value: Any) -> bool:
        """Whether a value is a number, or a list of them."""
        return self.number(value) is not None

    def follows_input(self, value: Any) -> bool:
        """Whether an argument is neither a stored tensor nor a number."""
        return super().follows_input(value) and not self.is_number(value)

    def is_zero(self, value: Any) -> bool:
        """Whether a value is a tensor of zeros that the program makes."""
        value = self.resolved(value)
        line = self._given.get(value.name) if isinstance(value, Value) else None
        return line is not None and line.call is torch.full and line.args[1] == 0

    def set_number(self, result: str, number: Any) -> None:
        """Let a result be a number or a list of them."""
        self._numbers[result] = number

    def as_tensor(self, numbers: Sequence[Any]) -> Value:
        """A tensor of numbers."""
        name = f"numbers {len(self.lines)}"
        self.call(name, torch.tensor, list(numbers))
        return Value(name)

    def shape(self, value: Any) -> tuple[int | None, ...] | None:
        """Shape of a value, with a batch of one example."""
        value = self.resolved(value)
        if not isinstance(value, Value):
            return None
        found = self._value(value)
        return tuple(found.shape) if isinstance(found, torch.Tensor) else None

    def is_real(self, value: Any) -> bool:
        """Whether a value is a tensor of real numbers."""
        value = self.resolved(value)
        found = self._value(value) if isinstance(value, Value) else None
        return isinstance(found, torch.Tensor) and found.is_floating_point()

    def only_reader(self, result: str) -> Step | None:
        """The step that alone reads a result; None where several do, or the program gives it."""
        alone = self._readers[result] == 1 and result != self.program.output
        return self._by_input[result] if alone else None

    def finish(self, step: Step) -> None:
        """Take a step as done: another one stands for it."""
        self._done.update(step.results)

    def is_done(self, step: Step) -> bool:
        """Whether another step stands for this one."""
        return not self._done.isdisjoint(step.results)

    def batched(self, source: Any, size: Sequence[Any]) -> list[Any]:
        """A size whose first axis is the batch, where the file fixes the number of examples."""
        found, shape = list(size), self.shape(source)
        fixed = self.batch is not None and bool(found) and self.follows_input(source)
        if not fixed or found[0] in {-1, 0} or isinstance(found[0], Value):
            return found
        leads = shape is not None and shape[:1] == (1,)
        if found[0] == self.batch:
            return [self.batch_size() if -1 in found else -1, *found[1:]]
        if leads and -1 not in found:
            return [-1, *found[1:]]
        return found

    def batch_size(self) -> Value:
        """The number of examples, as a value."""
        found = super().batch_size()
        self._values[found.name] = 1
        return found

    def _value(self, value: Value) -> Any:
        if value.name not in self._values and value.name in self._infos:
            info = self._infos[value.name]
            kind = getattr(torch, info.dtype, torch.float32)
            kind = torch.float32 if kind.is_floating_point else kind
            self._values[value.name] = torch.empty(info.shape, dtype=kind, device="meta")
        return self._values.get(value.name)

    def _add(
        self,
        results: str | Sequence[str],
        target: Callable[..., Any] | str,
        path: str,
        args: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> None:
        """Add a call, and make it without entries."""
        super()._add(results, target, path, args, named)
        line = self.lines[-1]
        values = {
            one.name: self._value(one) for one in values_in([*line.args, *line.named.values()])
        }
        missing = next((name for name, one in values.items() if one is None), None)
        if missing is not None:
            raise ValueError(f"{missing} is not known")
        args, named = _filled(line.args, values), _filled(dict(line.named), values)
        with torch.device("meta"), torch.no_grad():
            if path:
                made = self._modules[path](*args, **named)
            elif isinstance(target, str):
                made = getattr(args[0], target)(*args[1:], **named)
            else:
                made = target(*args, **named)
        if len(line.results) == 1:
            self._values[line.results[0]] = made
        else:
            self._values |= {name: made[at] for at, name in enumerate(line.results)}


def _filled(item: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(item, Value):
        return values[item.name]
    if isinstance(item, slice):
        return slice(*(_filled(one, values) for one in (item.start, item.stop, item.step)))
    if isinstance(item, list | tuple):
        return type(item)(_filled(one, values) for one in item)
    if isinstance(item, dict):
        return {key: _filled(one, values) for key, one in item.items()}
    return item
