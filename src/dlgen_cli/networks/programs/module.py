"""A program that a file brings, as a module of torch's own modules and functions.

The module computes what the program says by a fixed table of operations: no code of the file is
run. Layers stand at the paths that the names of their tensors tell, ``layer1.0.conv1`` of
``layer1.0.conv1.weight``, so that the module has the state dict of the file, and is traced, folded
and evaluated like any other.
"""

from __future__ import annotations

import copy
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from dlgen_cli.checkpoints.checkpoint import Checkpoint, TensorInfo
from dlgen_cli.checkpoints.program import Program, Step, Value, values_in
from dlgen_cli.checkpoints.stored import StoredTensor
from dlgen_cli.errors import CheckpointError
from dlgen_cli.networks.programs.patterns import Line, simplified

#: Calls whose results depend on the shapes of their arguments alone.
_OF_SHAPES: tuple[Any, ...] = ("size", torch.full_like)
#: A value that no program can name.
_BATCH = "number of examples"


class UnknownOperation(nn.Module):
    """A step that no table knows: its results have shapes and no entries.

    Args:
        shapes: of the results, the batch first.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self._shapes = shapes

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Results without entries, on the meta device."""
        batch = len(values[0]) if values and values[0].ndim else 1
        found = tuple(
            torch.empty((batch, *shape[1:]) if shape else (), device="meta")
            for shape in self._shapes
        )
        return found[0] if len(found) == 1 else found


class TransposedLinear(nn.Module):
    """``x W + c`` along the last axis: a linear layer whose weight has its inputs first.

    Args:
        inputs: along the last axis.
        outputs: the same of the result.
        bias: whether there is c.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, device="meta"))
        self.bias = nn.Parameter(torch.empty(outputs, device="meta")) if bias else None

    def extra_repr(self) -> str:
        """Its sizes."""
        return f"{tuple(self.weight.shape)}, bias={self.bias is not None}"

    def forward(self, x: Tensor) -> Tensor:
        """The product, and the bias."""
        product = x @ self.weight
        return product if self.bias is None else product + self.bias


class ProgramModule(nn.Module):
    """The steps of a program, one after another.

    Args:
        graph: calls of torch's functions and of the modules that are added under their paths.
        input_dtype: of its input; real numbers are float32.
        has_fixed_batch: whether the program was written for a certain number of examples.

    Attributes:
        input_dtype: the same.
    """

    def __init__(self, graph: fx.Graph, input_dtype: torch.dtype, *, has_fixed_batch: bool) -> None:
        super().__init__()
        self._graph = graph
        self._has_fixed_batch = has_fixed_batch
        self.input_dtype = input_dtype

    def forward(self, x: Tensor) -> Tensor:
        """Take every step."""
        found: Tensor = fx.Interpreter(self, graph=self._graph).run(x)
        return found

    @torch.no_grad()
    def takes_batches(self, input_shape: tuple[int, ...]) -> bool:
        """Whether several examples give what each gives alone; tried where it is not certain."""
        if not self._has_fixed_batch:
            return True
        generator = torch.Generator().manual_seed(0)
        x = torch.rand((3, *input_shape), generator=generator).to(self.input_dtype)
        try:
            alone = torch.cat([self(one[None].clone()) for one in x])
            together = self(x)
        except (RuntimeError, ValueError, IndexError, TypeError):
            return False
        same = together.shape == alone.shape
        return same and bool(torch.allclose(together, alone, rtol=1e-3, atol=1e-5))

    def recorded(self) -> fx.Graph:
        """A copy of the calls."""
        return copy.deepcopy(self._graph)


class Builder:
    """What the operations of a dialect build a module with.

    Attributes:
        program: what is built.
        lines: so far.
        batch: the first axis of the program's input; None where it is open.
        unknowns: results of steps without an operation in the table.
    """

    def __init__(self, program: Program, checkpoint: Checkpoint) -> None:
        stored = {info.stored_name: info for info in checkpoint.tensors.values()}
        stored |= {name: _info(name, one) for name, one in program.constants.items()}
        missing = [name for name in program.tensors.values() if name not in stored]
        if missing:
            raise CheckpointError(
                f"The program of {checkpoint.path} reads the tensor {missing[0]}, which is left "
                "aside.",
                remedy="Leave --prefix out.",
            )
        self.program = program
        self.lines: list[Line] = []
        self.unknowns: list[str] = []
        self.batch = program.inputs[0].shape[0] if program.inputs[0].shape else None
        self._infos = {value: stored[name] for value, name in program.tensors.items()}
        self._all = checkpoint.tensors
        self._modules: dict[str, nn.Module] = {}
        self._alias: dict[str, Any] = {}
        self._transposed: dict[str, Any] = {}
        self._given: dict[str, Line] = {}
        self._dependent = {one.name for one in program.inputs}
        self._has_batch_size = False
        self._shapes: dict[str, tuple[int | None, ...] | None] = {
            one.name: one.shape for one in program.inputs
        }
        self._dtypes: dict[str, str | None] = {one.name: one.dtype for one in program.inputs}
        for value, info in self._infos.items():
            self._shapes[value], self._dtypes[value] = info.shape, info.dtype
        for step in program.steps:
            self._shapes |= zip(step.results, step.shapes, strict=True)
            self._dtypes |= zip(step.results, step.dtypes, strict=True)

    def stored(self, value: Any) -> TensorInfo | None:
        """The stored tensor that an argument is; None where it is none."""
        value = self.resolved(value)
        return self._infos.get(value.name) if isinstance(value, Value) else None

    def shape(self, value: Any) -> tuple[int | None, ...] | None:
        """Shape of an argument as the file tells it."""
        return self._shapes.get(value.name) if isinstance(value, Value) else None

    def dtype(self, value: Any) -> str | None:
        """Type of an argument as the file tells it."""
        return self._dtypes.get(value.name) if isinstance(value, Value) else None

    def follows_input(self, value: Any) -> bool:
        """Whether an argument is no stored tensor."""
        return isinstance(value, Value) and value.name not in self._infos

    def depends(self, value: Any) -> bool:
        """Whether the entries of an argument depend on those of the input."""
        value = self.resolved(value)
        return isinstance(value, Value) and value.name in self._dependent

    def alias(self, result: str, value: Any) -> None:
        """Let a result be an argument itself."""
        self._alias[result] = self.resolved(value)

    def resolved(self, item: Any) -> Any:
        """An argument with the results that are others replaced."""
        if isinstance(item, Value):
            return self._alias.get(item.name, item)
        if isinstance(item, slice):
            return slice(*map(self.resolved, (item.start, item.stop, item.step)))
        if isinstance(item, list | tuple):
            return type(item)(map(self.resolved, item))
        return item

    def call(
        self,
        results: str | Sequence[str],
        target: Callable[..., Any] | str,
        *args: Any,
        **named: Any,
    ) -> None:
        """Call a function, or a method by its name; a known composition becomes its own call."""
        args, named = self.resolved(args), {key: self.resolved(one) for key, one in named.items()}
        found = simplified(target, args, named, self._given, self.shape)
        if found is not None:
            target, args, named = found
        if target is functional.rms_norm and self._normalized(results, args):
            return
        self._add(results, target, "", args, named)

    def apply(
        self, result: str, weight: TensorInfo, make: Callable[[], nn.Module], *args: Any
    ) -> bool:
        """Call the module that holds a weight, which is made where there is none yet.

        Args:
            result: name of its result.
            weight: its name ends in ``.weight`` or ``.running_mean``.
            make: makes the module on the meta device.
            *args: of the call.

        Returns:
            Whether it was called: a module of other settings may hold the weight already.
        """
        path = weight.name.rpartition(".")[0]
        made = make()
        known = self._modules.setdefault(path, made)
        if repr(known) != repr(made) or known.state_dict().keys() != made.state_dict().keys():
            return False
        self._add(result, "", path, args, {})
        return True

    def of_one_module(self, **tensors: TensorInfo | None) -> bool:
        """Whether tensors have the names that one module gives them: ``P.weight``, ``P.bias``."""
        named = {key: one.name.rpartition(".") for key, one in tensors.items() if one is not None}
        paths = {path for path, _, _ in named.values()}
        return len(paths) == 1 and "" not in paths and all(n[2] == key for key, n in named.items())

    def holds(self, name: str) -> bool:
        """Whether there is a stored tensor of a name."""
        return name in self._all

    def transposes(self, result: str, matrix: Any) -> None:
        """Remember that a result is a matrix transposed."""
        self._transposed[result] = self.resolved(matrix)

    def transposed(self, value: Any) -> Any:
        """What a value is the transpose of; None where that is not known."""
        value = self.resolved(value)
        return self._transposed.get(value.name) if isinstance(value, Value) else None

    def batch_size(self) -> Value:
        """The number of examples, as a value."""
        if not self._has_batch_size:
            self.lines.insert(
                0, Line("size", "", (Value(self.program.inputs[0].name), 0), {}, (_BATCH,))
            )
            self._has_batch_size = True
        return Value(_BATCH)

    def unknown(self, step: Step) -> None:
        """A step without an operation in the table; it is named, and nothing is computed."""
        if not step.results:
            return
        self.unknowns += step.results
        shapes = [
            tuple(1 if size is None else size for size in shape or ()) for shape in step.shapes
        ]
        space, dot, rest = step.operation.partition(".")
        name = re.sub(r"\W", "_", rest.partition(".")[0] if dot else space)
        path = f"{name} {len(self.lines)}"  # no tensor can have such a name
        named = type(name, (UnknownOperation,), {"__module__": __name__})
        self._modules[path] = named(shapes)
        values = [one for one in step.values() if self.follows_input(one)]
        if not any(map(self.depends, values)):  # what is made without a rule is never a constant
            values.append(Value(self.program.inputs[0].name))
        self._add(step.results, "", path, tuple(values), {})

    def module(self, output: str) -> ProgramModule:
        """What was built, on the meta device, in evaluation mode.

        Args:
            output: name of the value that it returns.

        Raises:
            CheckpointError: a name of a tensor can be no path in a module.
        """
        kind = getattr(torch, self.program.inputs[0].dtype, torch.float32)
        kind = torch.float32 if kind.is_floating_point else kind
        fixed = self.batch is not None
        root = ProgramModule(self._recorded(output), kind, has_fixed_batch=fixed)
        try:
            for path in sorted(self._modules, key=lambda one: one.count(".")):
                _set(root, path, self._modules[path])
            for name, info in self._all.items():
                _register(root, name, info)
            for name, constant in self.program.constants.items():
                parent, _, short = name.rpartition(".")
                _home(root, parent).register_buffer(short, constant.load(), persistent=False)
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"The names of the tensors can be those of no module: {error}.",
                remedy="Export the program again.",
            ) from error
        return root.eval().requires_grad_(requires_grad=False)

    def _recorded(self, result: str) -> fx.Graph:
        graph, source = fx.Graph(), self.program.inputs[0].name
        nodes: dict[str, fx.Node] = {source: graph.placeholder("x")}

        def node_of(item: Any) -> Any:
            if isinstance(item, Value):
                if item.name not in nodes:
                    nodes[item.name] = graph.get_attr(self._infos[item.name].name)
                return nodes[item.name]
            if isinstance(item, slice):
                return slice(*map(node_of, (item.start, item.stop, item.step)))
            return type(item)(map(node_of, item)) if isinstance(item, list | tuple) else item

        output = self.resolved(Value(result))
        for line in _read_lines(self.lines, output.name):
            kind = "call_method" if isinstance(line.call, str) else "call_function"
            node = graph.create_node(
                "call_module" if line.path else kind,
                line.path or line.call,
                node_of(line.args),
                {key: node_of(one) for key, one in line.named.items()},
                name=line.results[0],
            )
            nodes[line.results[0]] = node
            if len(line.results) > 1:
                parts = enumerate(line.results)
                nodes |= {
                    name: graph.call_function(operator.getitem, (node, at)) for at, name in parts
                }
        graph.output(node_of(output))
        return graph

    def _normalized(self, results: str | Sequence[str], args: tuple[Any, ...]) -> bool:
        """Call the module of a normalization by the root mean square that has a weight."""
        x, shape, weight, epsilon = args
        scale = self.stored(weight)
        if scale is None or not self.of_one_module(weight=scale) or scale.shape != tuple(shape):
            return False
        result = results if isinstance(results, str) else results[0]
        make = partial(nn.RMSNorm, tuple(shape), eps=epsilon, device="meta")
        return self.apply(result, scale, make, x)

    def _add(
        self,
        results: str | Sequence[str],
        target: Callable[..., Any] | str,
        path: str,
        args: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> None:
        names = (results,) if isinstance(results, str) else tuple(results)
        line = Line(
            target,
            path,
            self.resolved(args),
            {k: self.resolved(v) for k, v in named.items()},
            names,
        )
        self.lines.append(line)
        self._given |= dict.fromkeys(names, line)
        read = values_in([*line.args, *line.named.values()])
        if target not in _OF_SHAPES and any(one.name in self._dependent for one in read):
            self._dependent.update(names)


def _info(name: str, constant: StoredTensor) -> TensorInfo:
    return TensorInfo(
        name=name,
        stored_name=name,
        shape=constant.shape,
        is_floating=not constant.reason,
        dtype=constant.dtype,
    )


def _read_lines(lines: Sequence[Line], output: str) -> list[Line]:
    """The lines that the output depends on, and those that write on their arguments."""
    wanted, kept = {output}, []
    for line in reversed(lines):
        writes = bool(line.named.get("inplace")) or str(line.call).endswith("_")
        if writes or not wanted.isdisjoint(line.results):
            kept.append(line)
            wanted |= {one.name for one in values_in([*line.args, *line.named.values()])}
    return kept[::-1]


def _home(root: nn.Module, path: str) -> nn.Module:
    """The module at a path; modules on the way are made."""
    module = root
    for part in path.split(".") if path else ():
        if part not in module._modules:  # noqa: SLF001 - as add_module looks
            module.add_module(part, nn.Module())
        module = getattr(module, part)
    return module


def _set(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    home = _home(root, parent)
    for child, held in list(getattr(home, name, nn.Module()).named_children()):
        module.add_module(child, held)
    if name in home._modules:  # noqa: SLF001
        setattr(home, name, module)
    else:
        home.add_module(name, module)


def _register(root: nn.Module, path: str, info: TensorInfo) -> None:
    """Make room for a stored tensor where no layer holds it."""
    parent, _, name = path.rpartition(".")
    home = _home(root, parent)
    if name in home._parameters or name in home._buffers:  # noqa: SLF001
        return
    dtype = getattr(torch, info.dtype, torch.float32)
    empty = torch.empty(info.shape, dtype=dtype, device="meta")
    if info.is_buffer or not info.is_floating:
        home.register_buffer(name, empty)
    else:
        home.register_parameter(name, nn.Parameter(empty, requires_grad=False))
