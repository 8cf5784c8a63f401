"""Programs of ``torch.export``: the weights and the graph of an archive; nothing of it is run.

The archive is a zip file: ``models/NAME.json`` holds the graph, and two tables, of weights and of
constants, tell which entry holds the bytes of each tensor. Pickles in it are never opened.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlgen_cli.checkpoints.checkpoint import Checkpoint, LeftAside, index_tensors
from dlgen_cli.checkpoints.json_text import MOST_BYTES, parse_object
from dlgen_cli.checkpoints.pickles.zip_directory import ZipDirectory, archive_of
from dlgen_cli.checkpoints.program import (
    MOST_STEPS,
    NAME_MARKS,
    ElementType,
    Opaque,
    Program,
    ProgramInput,
    Step,
    Value,
    require_straight,
)
from dlgen_cli.checkpoints.stored import (
    MOST_TENSORS,
    SourceFile,
    StoredTensor,
    as_counts,
    brief,
    dense,
    itemsize,
    sha256_of,
    unread,
)
from dlgen_cli.errors import CheckpointError, UsageError

#: torch's types by their number in the archive.
_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
_STRIDED = 7
_CONSTANT = "a constant of the program, which is no part of its state dict"
_MAJOR_VERSION = 8
_MODEL = re.compile(r"(?P<folder>.*/)?models/(?P<name>[^/]+)\.json")
_FLOATS = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}


def open_export(path: Path, part: str | None = None) -> Checkpoint:
    """Open an archive of ``torch.export.save``.

    Parameters and buffers have the names of the module's state dict; buffers that are not saved
    there, and constants, stand among them.

    Args:
        path: the archive.
        part: name of the program, where it holds several.

    Raises:
        CheckpointError: it is damaged, or of another version of the format.
        UsageError: it holds several programs and none was chosen.
    """
    file = SourceFile.at(path)
    try:
        archive = archive_of(file)
        if archive is None:
            raise ValueError("no zip archive")  # noqa: TRY301
        folder, model = _chosen(archive, path, part)
        stored = _Tensors(archive, file, folder, model)
        program = _program(
            parse_object(archive.read(f"{folder}models/{model}.json", MOST_BYTES)),
            stored,
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"{reason} is missing"
        raise CheckpointError(
            f"{path} cannot be read as a program of torch.export ({brief(reason)}).",
            remedy="Check that it was copied in full, or save it again with torch.export.save.",
        ) from error
    tensors = stored.tensors
    left = [
        LeftAside(name=name, reason="an object of the program, which is never opened", entries=0)
        for name in stored.objects
    ]
    left += [
        LeftAside(name=name, reason=_CONSTANT, entries=math.prod(one.shape))
        for name, one in stored.constants.items()
    ]
    several = f"the program gives {program.outputs} outputs: the first is the network's"
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        tensors=index_tensors(tensors, path),
        reader=lambda name: tensors[name].load(),
        notes=(several,) if program.outputs > 1 else (),
        left_aside=tuple(left),
        program=program,
    )


def _chosen(archive: ZipDirectory, path: Path, part: str | None) -> tuple[str, str]:
    """The folder of the archive, and the name of the program that is read."""
    found = [match for name in archive.entries if (match := _MODEL.fullmatch(name))]
    chosen = [one for one in found if part is None or one["name"] == part]
    if len(chosen) == 1:
        return chosen[0]["folder"] or "", chosen[0]["name"]
    names = ", ".join(brief(one["name"]) for one in found[:5])
    if part is not None:
        raise UsageError(
            f"{path} holds no program {brief(part)}.", remedy=f"It holds {names}: give --part."
        )
    raise UsageError(
        f"{path} holds {len(found)} programs: {names}.", remedy="Give --part with one of them."
    )


class _Tensors:
    """The stored tensors of one program, by the names of its state dict.

    Attributes:
        tensors: parameters and buffers.
        constants: tensors that are no part of the state dict.
        objects: names of what is no tensor.
    """

    def __init__(self, archive: ZipDirectory, file: SourceFile, folder: str, model: str) -> None:
        self._archive, self._file = archive, file
        entry = f"{folder}byteorder"
        order = archive.read(entry, 16).decode() if entry in archive.entries else sys.byteorder
        if order not in {"little", "big"}:
            raise ValueError(f"the byte order {brief(order)}")
        self._swapped = order != sys.byteorder
        self.tensors: dict[str, StoredTensor] = {}
        self.constants: dict[str, StoredTensor] = {}
        self.objects: list[str] = []
        for kind, found in (("weights", self.tensors), ("constants", self.constants)):
            table = f"{folder}data/{kind}/{model}_{kind}_config.json"
            config = parse_object(archive.read(table, MOST_BYTES))["config"]
            for name, entry in config.items():
                tensor = self._read(f"{folder}data/{kind}/", name, entry)
                if tensor is None:
                    self.objects.append(name)
                else:
                    found[name] = tensor

    def _read(self, folder: str, name: str, entry: Mapping[str, Any]) -> StoredTensor | None:
        meta = entry.get("tensor_meta")
        if meta is None:
            return None
        if name in self.tensors or name in self.constants or not re.fullmatch(NAME_MARKS, name):
            raise ValueError(f"a tensor of the name {brief(name)}, which no module can have")
        if len(self.tensors) + len(self.constants) == MOST_TENSORS:
            raise ValueError(f"more than {MOST_TENSORS:,} tensors")
        shape, dtype = _known(meta["sizes"]), _TYPES[meta["dtype"]]
        if entry["use_pickle"] or meta["layout"] != _STRIDED:
            return unread(shape, dtype, "it is stored as an object of its own class")
        offset, size = self._archive.locate(f"{folder}{_plain(entry['path_name'])}")
        (start,) = _known([meta["storage_offset"]])
        strides = _known(meta["strides"])
        if len(strides) != len(shape):
            raise ValueError(f"{brief(name)} has {len(strides)} strides for {len(shape)} axes")
        reach = 1 + sum((axis - 1) * step for axis, step in zip(shape, strides, strict=True))
        if 0 not in shape and (start + reach) * itemsize(dtype) > size:
            raise ValueError(f"{brief(name)} of shape {brief(shape)} has {size:,} bytes")
        begin = offset + start * itemsize(dtype)
        found = dense(self._file, begin, dtype, shape, strides=strides, swapped=self._swapped)
        return replace(found, is_buffer=not entry["is_param"])


def _plain(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.\-]+", name):
        raise ValueError(f"an entry of the name {brief(name)}")
    return name


def _size(size: Mapping[str, Any]) -> int | None:
    """A size; None for a symbol, whose expression is never evaluated."""
    return as_counts([size["as_int"]])[0] if "as_int" in size else None


def _known(sizes: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    return as_counts([size["as_int"] for size in sizes])


def _program(whole: Mapping[str, Any], stored: _Tensors) -> Program:
    version = whole["schema_version"]["major"]
    if version != _MAJOR_VERSION:
        raise ValueError(f"version {brief(version)} of the format; {_MAJOR_VERSION} was expected")
    graph, signature = whole["graph_module"]["graph"], whole["graph_module"]["signature"]
    metas = graph["tensor_values"]
    tensors: dict[str, str] = {}
    inputs: list[ProgramInput] = []
    for spec in signature["input_specs"]:
        ((kind, fact),) = spec.items()
        key = _NAMED_TENSORS.get(kind)
        if key is not None:
            name = fact[key]
            if name not in stored.tensors and name not in stored.constants:
                raise ValueError(f"the tensor {brief(name)} is not stored")
            tensors[_text(fact["arg"]["name"])] = name
        elif kind == "user_input" and "as_tensor" in fact["arg"]:
            inputs.append(_input(fact["arg"]["as_tensor"]["name"], metas))
        elif kind == "user_input" and "as_none" not in fact["arg"]:
            raise ValueError("an input that is no tensor")
        elif kind not in {"user_input", "constant_input"}:
            raise ValueError(f"an input of the kind {brief(kind)}")
    outputs = [
        spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec
    ]
    given = [_text(one["as_tensor"]["name"]) for one in outputs if "as_tensor" in one]
    if not given:
        raise ValueError("it gives no tensor")
    if len(graph["nodes"]) > MOST_STEPS:
        raise ValueError(f"{len(graph['nodes']):,} steps; at most {MOST_STEPS:,} are read")
    program = Program(
        dialect="aten",
        inputs=inputs,
        tensors=tensors,
        steps=[_step(node, metas) for node in graph["nodes"]],
        output=given[0],
        outputs=len(given),
        constants=stored.constants,
    )
    require_straight(program)
    return program


_NAMED_TENSORS = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}


def _input(name: object, metas: Mapping[str, Any]) -> ProgramInput:
    meta = metas[_text(name)]
    return ProgramInput(
        name=_text(name),
        shape=tuple(_size(size) for size in meta["sizes"]),
        dtype=_TYPES[meta["dtype"]],
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{brief(value)} where a name was expected")
    return value


def _step(node: Mapping[str, Any], metas: Mapping[str, Any]) -> Step:
    arguments = {_text(one["name"]): _argument(one["arg"]) for one in node["inputs"]}
    results = [name for one in node["outputs"] for name in _results(one)]
    shapes = [
        tuple(_size(size) for size in metas[name]["sizes"]) if name in metas else None
        for name in results
    ]
    return Step(
        operation=_text(node["target"]).removeprefix("torch.ops.").removeprefix("_operator."),
        arguments=arguments,
        results=tuple(results),
        shapes=tuple(shapes),
        dtypes=tuple(_TYPES[metas[name]["dtype"]] if name in metas else None for name in results),
    )


def _results(output: Mapping[str, Any]) -> list[str]:
    ((kind, value),) = output.items()
    if kind in {"as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"}:
        name = value.get("name", value.get("as_name"))
        return [_text(name)]
    if kind == "as_tensors":
        return [_text(one["name"]) for one in value]
    if kind in {"as_optional_tensor", "as_none"}:
        found = value.get("as_tensor") if isinstance(value, dict) else None
        return [_text(found["name"])] if found else []
    raise ValueError(f"a result of the kind {brief(kind)}")


def _argument(given: Mapping[str, Any]) -> Any:
    """An argument as a plain value; what is none becomes an `Opaque`.

    How entries lie in memory, and where, says nothing of their values.
    """
    ((kind, value),) = given.items()
    read = _ARGUMENTS.get(kind)
    return Opaque(kind) if read is None else read(value)


def _choice(value: Mapping[str, Any]) -> Any:
    """A value or a number, as the key tells."""
    ((kind, held),) = value.items()
    if kind == "as_name":
        return Value(_text(held))
    if kind == "as_tensor":
        return _value(held)
    return None if kind == "as_none" else held


def _value(fact: Mapping[str, Any]) -> Value:
    return Value(_text(fact["name"]))


def _whole(value: object) -> object:
    """A number, a truth value or a text, or a list of them."""
    for one in value if isinstance(value, list) else (value,):
        if not isinstance(one, bool | int | str):
            raise TypeError(f"{brief(one)} among the arguments")
    return value


def _float(value: object) -> float:
    """A number; what JSON has no number for stands as a text."""
    if isinstance(value, str):
        return _FLOATS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{brief(value)} where a number was expected")
    return float(value)


_ARGUMENTS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("as_none", "as_memory_format", "as_layout", "as_device"), lambda _: None),
    **dict.fromkeys(
        ("as_int", "as_ints", "as_bool", "as_bools", "as_string", "as_strings"), _whole
    ),
    "as_float": _float,
    "as_floats": lambda value: [_float(one) for one in value],
    "as_tensor": _value,
    "as_tensors": lambda value: [_value(one) for one in value],
    **{f"as_{kind}": _choice for kind in ("sym_int", "sym_float", "sym_bool", "optional_tensor")},
    **{
        f"as_{kind}s": lambda value: [_choice(one) for one in value]
        for kind in ("sym_int", "sym_float", "sym_bool", "optional_tensor")
    },
    "as_scalar_type": lambda value: ElementType(_TYPES[value]),
}
