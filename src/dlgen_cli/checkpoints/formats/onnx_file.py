"""ONNX models: initializers are weights, nodes the graph; nothing of it is run.

The onnx package parses the file. Tensors of external data are ranges of files beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.checkpoints.checkpoint import Checkpoint, LeftAside, index_tensors
from dlgen_cli.checkpoints.formats.onnx_names import name_like_modules, turned
from dlgen_cli.checkpoints.formats.onnx_tensors import (
    TYPES,
    StoredInitializers,
    onnx_package,
    short,
)
from dlgen_cli.checkpoints.program import (
    MOST_STEPS,
    Opaque,
    Program,
    ProgramInput,
    Step,
    Value,
    require_straight,
)
from dlgen_cli.checkpoints.stored import (
    SourceFile,
    as_counts,
    brief,
    sha256_of,
)
from dlgen_cli.errors import CheckpointError

if TYPE_CHECKING:
    pass

_MOST_BYTES = (1 << 31) - 1  # of one message of protobuf
_DOMAINS = {"", "ai.onnx"}


def open_onnx(path: Path) -> Checkpoint:
    """Open an ONNX model.

    Tensors have the names of their initializers. Integers that are sizes, axes or positions, and
    single numbers, are parts of the program.

    Args:
        path: the file; external data lie in its folder or below.

    Raises:
        CheckpointError: it is damaged, or points outside its folder.
        DependencyError: the onnx package is not installed.
    """
    package = onnx_package()
    file = SourceFile.at(path)
    if file.size > _MOST_BYTES:
        raise CheckpointError(
            f"{path} has {file.size:,} bytes; an ONNX file of at most {_MOST_BYTES:,} was "
            "expected.",
            remedy="Save it with external data.",
        )
    try:
        model = package.ModelProto.FromString(file.read(0, file.size))
        stored = StoredInitializers(path, package)
        program = _program(model, stored)
    except (
        package.DecodeError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{path} is not a whole ONNX model ({brief(reason)}).",
            remedy="Check that it was copied in full, or export it again.",
        ) from error
    tensors = stored.tensors
    several = f"the program gives {program.outputs} outputs: the first is the network's"
    left = (
        LeftAside(
            name="numbers of the program",
            reason="sizes, axes, positions and single numbers among its constants",
            entries=stored.number_entries,
        ),
    )
    return Checkpoint(
        path=path,
        sha256=sha256_of(path, *sorted(stored.files)),
        tensors=index_tensors(tensors, path),
        reader=lambda name: tensors[name].load(),
        notes=(several,) if program.outputs > 1 else (),
        left_aside=left if stored.number_entries else (),
        program=program,
    )


def _program(model: Any, stored: StoredInitializers) -> Program:
    graph = model.graph
    if len(graph.node) > MOST_STEPS:
        raise ValueError(f"{len(graph.node):,} steps; at most {MOST_STEPS:,} are read")
    if len(graph.sparse_initializer):
        raise ValueError("it has sparse tensors")
    stored.settings |= {
        name
        for node in graph.node
        for at, name in enumerate(node.input)
        if at in _SETTINGS.get(node.op_type, ())
    }
    for proto in graph.initializer:
        stored.add(proto.name, proto, is_constant=False)
    steps = list(_steps(model, stored))
    inputs = [
        _input(one)
        for one in graph.input
        if one.name not in stored.names and one.name not in stored.numbers
    ]
    if not graph.output:
        raise ValueError("it has no output")
    steps = turned(steps, stored)
    name_like_modules(steps, stored)
    program = Program(
        dialect="onnx",
        inputs=inputs,
        tensors=dict(stored.names),
        steps=steps,
        output=graph.output[0].name,
        outputs=len(graph.output),
        numbers=stored.numbers,
    )
    require_straight(program)
    return program


#: The inputs of operations that are settings and no values.
_SETTINGS: Mapping[str, Sequence[int]] = {
    "Resize": (1, 2, 3),
    "Clip": (1, 2),
    "Pad": (2,),
    "Pow": (1,),
    "Dropout": (1,),
}


def _input(info: Any) -> ProgramInput:
    kind = info.type.tensor_type
    if not info.type.HasField("tensor_type"):
        raise ValueError(f"the input {brief(info.name)} is no tensor")
    sizes = [
        as_counts([one.dim_value])[0] if one.HasField("dim_value") else None
        for one in kind.shape.dim
    ]
    return ProgramInput(
        name=info.name,
        shape=tuple(size or None for size in sizes),
        dtype=TYPES.get(kind.elem_type, "float32"),
    )


def _steps(model: Any, stored: StoredInitializers) -> Iterator[Step]:
    opset = max((one.version for one in model.opset_import if one.domain in _DOMAINS), default=1)
    for node in model.graph.node:
        attributes = {one.name: _attribute(one, stored) for one in node.attribute}
        if node.op_type == "Constant" and node.domain in _DOMAINS and len(node.output) == 1:
            _add_constant(node, attributes, stored)
            continue
        if node.op_type == "Identity" and list(node.input)[:1] and node.input[0] in stored.names:
            stored.copy(node.output[0], node.input[0])
            continue
        domain = "" if node.domain in _DOMAINS else f"{node.domain}."
        yield Step(
            operation=f"{domain}{node.op_type}",
            arguments={
                "inputs": [Value(name) if name else None for name in node.input],
                "opset": opset,
                **attributes,
            },
            results=tuple(
                name or f"{node.name} unread {at}" for at, name in enumerate(node.output)
            ),
            shapes=(None,) * len(node.output),
            dtypes=(None,) * len(node.output),
        )


def _add_constant(node: Any, attributes: Mapping[str, Any], stored: StoredInitializers) -> None:
    ((name, value),) = attributes.items()
    if name == "value":
        stored.add(node.output[0], node.attribute[0].t, is_constant=True)
        return
    if name not in {"value_int", "value_ints", "value_float", "value_floats"}:
        raise ValueError(f"a constant of the kind {brief(name)}")
    if node.output[0] in stored.names or node.output[0] in stored.numbers:
        raise ValueError(f"the tensor {brief(node.output[0])} is there twice")
    stored.numbers[node.output[0]] = value
    stored.number_entries += len(value) if isinstance(value, list) else 1


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


_TENSOR = 4
#: Where an attribute keeps its value, and how it is read, by its type.
_FIELDS: Mapping[int, tuple[str, Callable[[Any], Any]]] = {
    1: ("f", short),
    2: ("i", int),
    3: ("s", _text),
    6: ("floats", lambda value: [short(one) for one in value]),
    7: ("ints", list),
    8: ("strings", lambda value: [_text(one) for one in value]),
}


def _attribute(given: Any, stored: StoredInitializers) -> Any:
    if given.type == _TENSOR:
        return stored.plain(given.t) if math.prod(given.t.dims) == 1 else Opaque("a tensor")
    if given.type not in _FIELDS:
        return Opaque("a graph")
    name, read = _FIELDS[given.type]
    return read(getattr(given, name))
