"""A module as the program that ``torch.export`` makes of it: for code that cannot be recorded.

Recording with ``torch.fx`` stops where code asks for the values or the sizes of its inputs, as
most networks of transformers do. ``torch.export`` runs the module with tensors that have no
entries, and gives the operations that it took, with the names of its parameters.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from dlgen_cli.checkpoints.in_memory import checkpoint_of
from dlgen_cli.checkpoints.program import (
    ElementType,
    Opaque,
    Program,
    ProgramInput,
    Step,
    Value,
    require_straight,
)
from dlgen_cli.checkpoints.stored import StoredTensor
from dlgen_cli.networks.loaded_module import input_dtype_of
from dlgen_cli.networks.programs.network import module_of


def exported(module: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
    """The module of the program of a module; it shares its tensors.

    Args:
        module: in evaluation mode, with entries.
        input_shape: of one example; of the type `input_dtype_of`.

    Raises:
        Exception: whatever the module or torch raises.
    """
    example = torch.zeros((2, *input_shape), dtype=input_dtype_of(module))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            whole = torch.export.export(
                module, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False
            )
        except Exception:  # with the batch fixed it may do
            whole = torch.export.export(module, (example[:1],), strict=False)
    state = module.state_dict()
    program = program_of(whole)
    checkpoint = checkpoint_of(state, type(module).__name__)
    made = module_of(program, checkpoint, input_shape)
    made.load_state_dict(state, assign=True)
    return made


def program_of(whole: torch.export.ExportedProgram) -> Program:
    """The steps of an exported program, as those of its file.

    Raises:
        ValueError: it takes something else than tensors, or gives none.
    """
    graph, kinds = whole.graph, torch.export.graph_signature.InputKind
    tensors: dict[str, str] = {}
    constants: dict[str, StoredTensor] = {}
    inputs = []
    metas = {node.name: node.meta.get("val") for node in graph.nodes}
    for spec in whole.graph_signature.input_specs:
        name = getattr(spec.arg, "name", "")
        if spec.kind == kinds.USER_INPUT:
            value = metas.get(name)
            if isinstance(value, Tensor):
                inputs.append(ProgramInput(name=name, shape=_sizes(value), dtype=_dtype(value)))
        elif spec.target is None or spec.kind not in {
            kinds.PARAMETER,
            kinds.BUFFER,
            kinds.CONSTANT_TENSOR,
        }:
            raise ValueError(f"an input of the kind {spec.kind.name}")
        else:
            tensors[name] = spec.target
            if spec.kind == kinds.CONSTANT_TENSOR or spec.persistent is False:
                constants[spec.target] = _constant(whole.constants[spec.target])
    outputs = [
        node.name
        for node in fx.node.map_aggregate(_output(graph), lambda one: one)
        if isinstance(node, fx.Node) and isinstance(node.meta.get("val"), Tensor)
    ]
    if not outputs:
        raise ValueError("it gives no tensor")
    program = Program(
        dialect="aten",
        inputs=inputs,
        tensors=tensors,
        steps=[
            _step(node)
            for node in graph.nodes
            if node.op == "call_function" and node.target is not operator.getitem
        ],
        output=outputs[0],
        outputs=len(outputs),
        constants=constants,
    )
    require_straight(program)
    return program


def _output(graph: fx.Graph) -> Any:
    return next(node for node in graph.nodes if node.op == "output").args[0]


def _constant(tensor: Tensor) -> StoredTensor:
    kept = tensor.detach()
    return StoredTensor(
        shape=tuple(kept.shape),
        dtype=_dtype(kept),
        reason="" if kept.is_floating_point() else "a constant",
        load=lambda: kept,
    )


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _sizes(tensor: Tensor) -> tuple[int | None, ...]:
    """A shape; None for a size that is open."""
    return tuple(size if isinstance(size, int) else None for size in tensor.shape)


def _step(node: fx.Node) -> Step:
    value = node.meta.get("val")
    if isinstance(value, tuple | list):
        names = {user.args[1]: user.name for user in node.users}
        results = tuple(names.get(at, f"{node.name} {at}") for at in range(len(value)))
        values = list(value)
    else:
        results, values = (node.name,), [value]
    return Step(
        operation=str(node.target)
        if hasattr(node.target, "_schema")
        else str(getattr(node.target, "__name__", "")),
        arguments=_arguments(node),
        results=results,
        shapes=tuple(_sizes(one) if isinstance(one, Tensor) else None for one in values),
        dtypes=tuple(_dtype(one) if isinstance(one, Tensor) else None for one in values),
    )


def _arguments(node: fx.Node) -> Mapping[str, Any]:
    schema = getattr(node.target, "_schema", None)
    names = [one.name for one in schema.arguments] if schema is not None else []
    found = {}
    for at, one in enumerate(node.args):
        found[names[at] if at < len(names) else str(at)] = _argument(one)
    return found | {name: _argument(one) for name, one in node.kwargs.items()}


def _argument(item: Any) -> Any:
    if isinstance(item, fx.Node):
        return Value(item.name)
    if isinstance(item, list | tuple):
        return [_argument(one) for one in item]
    if isinstance(item, torch.dtype):
        return ElementType(str(item).removeprefix("torch."))
    if isinstance(item, torch.device | torch.layout | torch.memory_format):
        return None
    plain = item is None or isinstance(item, bool | int | float | str)
    return item if plain else Opaque(type(item).__name__)
