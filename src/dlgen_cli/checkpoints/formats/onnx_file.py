"""ONNX models: initializers are weights, nodes the graph; nothing of it is run.

The onnx package parses the file. Tensors of external data are ranges of files beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlgen_cli.checkpoints.checkpoint import Checkpoint, LeftAside, index_tensors
from dlgen_cli.checkpoints.formats.sharded import inside
from dlgen_cli.checkpoints.program import (
    MOST_STEPS,
    NAME_MARKS,
    Opaque,
    Program,
    ProgramInput,
    Step,
    Value,
    require_straight,
)
from dlgen_cli.checkpoints.stored import (
    MOST_TENSORS,
    HeldBytes,
    SourceFile,
    StoredTensor,
    as_counts,
    as_shape,
    brief,
    dense,
    itemsize,
    sha256_of,
    unread,
)
from dlgen_cli.errors import CheckpointError, DependencyError

if TYPE_CHECKING:
    import torch

_MOST_BYTES = (1 << 31) - 1  # of one message of protobuf
#: Entries of an integer tensor that is read as numbers: sizes, axes, positions.
_MOST_NUMBERS = 256
#: torch's types by their number in the file.
_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
}
_NUMBERS = ("int32", "int64", "bool")
_EXTERNAL = 1
#: What exporters call a number of the program that they keep as a tensor.
_NUMBER_NAMES = re.compile(r"val_\d+|scalar_tensor.*|.*[Cc]onst(ant)?([_/:.\d].*)?")
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
    package = _package()
    file = SourceFile.at(path)
    if file.size > _MOST_BYTES:
        raise CheckpointError(
            f"{path} has {file.size:,} bytes; an ONNX file of at most {_MOST_BYTES:,} was "
            "expected.",
            remedy="Save it with external data.",
        )
    try:
        model = package.ModelProto.FromString(file.read(0, file.size))
        stored = _Stored(path, package)
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


class _Package:
    """What is used of the onnx package."""

    def __init__(self) -> None:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto, numpy_helper

        self.ModelProto, self.DecodeError = ModelProto, DecodeError
        self.to_array = numpy_helper.to_array


def _package() -> _Package:
    try:
        return _Package()
    except ImportError as error:
        raise DependencyError(
            "An ONNX model needs the onnx package, which is not installed.",
            remedy="pip install 'dlgen[onnx]'",
        ) from error


class _Stored:
    """The tensors of a model: those that are weights, and the numbers of its program.

    Attributes:
        tensors: by their names among modules.
        names: of those, by the name in the file.
        numbers: numbers and lists of them, by the name in the file.
        number_entries: how many there are.
        files: of external data.
        settings: names of what is a setting where it is read, such as the factors of a resize.
    """

    def __init__(self, path: Path, package: _Package) -> None:
        self._path, self._package = path, package
        self.tensors: dict[str, StoredTensor] = {}
        self.names: dict[str, str] = {}
        self.numbers: dict[str, Any] = {}
        self.number_entries = 0
        self.files: set[Path] = set()
        self.settings: set[str] = set()

    def add(self, name: str, proto: Any, *, is_constant: bool) -> None:
        """Take in an initializer, or the tensor of a ``Constant``."""
        if name in self.names or name in self.numbers:
            raise ValueError(f"the tensor {brief(name)} is there twice")
        tensor = self._tensor(proto)
        entries = math.prod(tensor.shape)
        is_number = entries == 1 and (is_constant or _NUMBER_NAMES.fullmatch(name) is not None)
        is_few = entries <= _MOST_NUMBERS and len(tensor.shape) < 2
        is_few = is_few and (tensor.dtype in _NUMBERS or name in self.settings)
        if proto.data_location != _EXTERNAL and (is_few or (is_number and not tensor.reason)):
            self.numbers[name] = self.plain(proto)
            self.number_entries += entries
            return
        if len(self.tensors) == MOST_TENSORS:
            raise ValueError(f"more than {MOST_TENSORS:,} tensors")
        safe = _safe(name)
        if safe in self.tensors:
            raise ValueError(f"two tensors of the name {brief(safe)}")
        self.names[name] = safe
        self.tensors[safe] = tensor

    def plain(self, proto: Any) -> Any:
        """The number or the list of numbers that a tensor in the file holds."""
        self._tensor(proto)  # checks it
        array = self._package.to_array(proto)
        numbers = [_short(one) for one in array.flatten()] if array.dtype == np.float32 else None
        if numbers is None:
            return array.astype(np.float64 if array.dtype.kind == "f" else array.dtype).tolist()
        return numbers if array.ndim else numbers[0]

    def rename(self, name: str, wanted: str) -> None:
        """Give a tensor the name that a module would give it, where nothing else has it."""
        safe = self.names[name]
        if wanted not in self.tensors:
            self.tensors = {
                wanted if key == safe else key: one for key, one in self.tensors.items()
            }
            self.names[name] = wanted

    def axes(self, name: str) -> int:
        """How many axes a tensor has."""
        return len(self.tensors[self.names[name]].shape)

    def turn(self, name: str) -> None:
        """Transpose a matrix."""
        safe = self.names[name]
        found = self.tensors[safe]

        def load() -> torch.Tensor:
            return found.load().mT.contiguous()

        self.tensors[safe] = replace(found, shape=found.shape[::-1], load=load)

    def copy(self, name: str, source: str) -> None:
        """Let a tensor that stands for another have the same entries."""
        if name in self.names or _safe(name) in self.tensors:
            raise ValueError(f"the tensor {brief(name)} is there twice")
        self.names[name] = _safe(name)
        self.tensors[_safe(name)] = self.tensors[self.names[source]]

    def _tensor(self, proto: Any) -> StoredTensor:
        shape, count = as_shape(list(proto.dims))
        dtype = _TYPES.get(proto.data_type)
        if dtype is None:
            return unread(shape, f"type {proto.data_type}", "packed entries of unknown scale")
        size = count * itemsize(dtype)
        if proto.data_location == _EXTERNAL:
            return self._external(proto, dtype, shape, size)
        if proto.HasField("raw_data"):
            raw = proto.raw_data
        else:
            raw = self._package.to_array(proto).tobytes()
        if len(raw) != size:
            raise ValueError(
                f"{brief(proto.name)} of shape {brief(shape)} has {len(raw):,} bytes; {size:,} "
                "were expected"
            )
        place = (str(self._path), proto.name)
        return replace(dense(HeldBytes(self._path, raw), 0, dtype, shape), place=place)

    def _external(self, proto: Any, dtype: str, shape: Sequence[int], size: int) -> StoredTensor:
        facts = {entry.key: entry.value for entry in proto.external_data}
        path = inside(self._path.parent, facts["location"], self._path)
        offset, length = (_count(facts.get(key, "")) for key in ("offset", "length"))
        if length not in {0, size}:
            raise ValueError(f"{brief(proto.name)} of {size:,} bytes has a range of {length:,}")
        try:
            file = SourceFile.at(path)
        except FileNotFoundError:
            raise CheckpointError(
                f"{self._path} keeps its weights in {brief(facts['location'])}, which is missing.",
                remedy="Put the file beside it.",
            ) from None
        self.files.add(path)
        return dense(file, offset, dtype, shape)


def _count(text: str) -> int:
    if text and not (text.isdecimal() and len(text) <= 18):
        raise ValueError(f"a range at {brief(text)}")
    return int(text or 0)


def _short(number: float) -> float:
    return float(str(np.float32(number)))


def _safe(name: str) -> str:
    """A name that can be the path of a tensor in a module: other signs become ``_``."""
    if re.fullmatch(NAME_MARKS, name):
        return name
    parts = [re.sub(r"[^A-Za-z0-9_:/@+\-]", "_", part) for part in name.split(".")]
    return ".".join(part for part in parts if part) or "_"


def _program(model: Any, stored: _Stored) -> Program:
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
    steps = _turned(steps, stored)
    for step in steps:
        if step.operation in _NAMED_LIKE_MODULES:
            _name_like_modules(step, stored)
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


def _turned(steps: Sequence[Step], stored: _Stored) -> list[Step]:
    """Let matrices that multiply from the right have their outputs first, as torch has them."""
    readers: dict[str, set[bool]] = {}
    for step in steps:
        for at, one in enumerate(step.arguments["inputs"]):
            if isinstance(one, Value):
                readers.setdefault(one.name, set()).add(at == 1 and _multiplies(step))
    matrices = {
        name
        for name, how in readers.items()
        if how == {True} and name in stored.names and stored.axes(name) == 2
    }
    for name in matrices:
        stored.turn(name)

    def of(step: Step) -> Step:
        inputs = step.arguments["inputs"]
        is_turned = _multiplies(step) and inputs[1] is not None and inputs[1].name in matrices
        return replace(step, arguments={**step.arguments, "transB": 1}) if is_turned else step

    return [of(step) for step in steps]


def _multiplies(step: Step) -> bool:
    plain = step.operation == "Gemm" and not step.arguments.get("transB")
    return (plain or step.operation == "MatMul") and len(step.arguments["inputs"]) > 1


#: What a module calls the inputs from the second on.
_NAMED_LIKE_MODULES = {
    "BatchNormalization": ("weight", "bias", "running_mean", "running_var"),
    "Conv": ("weight", "bias"),
    "ConvTranspose": ("weight", "bias"),
    "Gemm": ("weight", "bias"),
}


def _name_like_modules(step: Step, stored: _Stored) -> None:
    """Let tensors have the names that one module gives them, where the first one's tells it.

    Those of a batch normalization always have them: it is folded by its names.
    """
    kinds = _NAMED_LIKE_MODULES[step.operation]
    given = [one.name for one in step.arguments["inputs"][1:] if isinstance(one, Value)]
    known = len(given) <= len(kinds) and all(name in stored.names for name in given)
    is_norm = step.operation == "BatchNormalization"
    if not given or not known or not (is_norm or stored.names[given[0]].endswith(".weight")):
        return
    stem = stored.names[given[0]].removesuffix(".weight")
    for name, kind in zip(given, kinds, strict=False):
        is_made = is_norm or stored.names[name] == f"{stem}.weight_{kind}"
        if is_made and stored.names[name] != f"{stem}.{kind}":
            stored.rename(name, f"{stem}.{kind}")


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
        dtype=_TYPES.get(kind.elem_type, "float32"),
    )


def _steps(model: Any, stored: _Stored) -> Iterator[Step]:
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


def _add_constant(node: Any, attributes: Mapping[str, Any], stored: _Stored) -> None:
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
    1: ("f", _short),
    2: ("i", int),
    3: ("s", _text),
    6: ("floats", lambda value: [_short(one) for one in value]),
    7: ("ints", list),
    8: ("strings", lambda value: [_text(one) for one in value]),
}


def _attribute(given: Any, stored: _Stored) -> Any:
    if given.type == _TENSOR:
        return stored.plain(given.t) if math.prod(given.t.dims) == 1 else Opaque("a tensor")
    if given.type not in _FIELDS:
        return Opaque("a graph")
    name, read = _FIELDS[given.type]
    return read(getattr(given, name))
