"""The tensors of an ONNX model: weights, and the numbers of its program."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlgen_cli.checkpoints.formats.sharded import inside
from dlgen_cli.checkpoints.program import NAME_MARKS
from dlgen_cli.checkpoints.stored import (
    MOST_TENSORS,
    HeldBytes,
    SourceFile,
    StoredTensor,
    as_shape,
    brief,
    dense,
    itemsize,
    unread,
)
from dlgen_cli.errors import CheckpointError, DependencyError

if TYPE_CHECKING:
    import torch

#: Entries of an integer tensor that is read as numbers: sizes, axes, positions.
_MOST_NUMBERS = 256
#: torch's types by their number in the file.
TYPES = {
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


class Package:
    """What is used of the onnx package."""

    def __init__(self) -> None:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto, numpy_helper

        self.ModelProto, self.DecodeError = ModelProto, DecodeError
        self.to_array = numpy_helper.to_array


def onnx_package() -> Package:
    """What is used of the onnx package.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        return Package()
    except ImportError as error:
        raise DependencyError(
            "An ONNX model needs the onnx package, which is not installed.",
            remedy="pip install 'dlgen[onnx]'",
        ) from error


class StoredInitializers:
    """The tensors of a model: those that are weights, and the numbers of its program.

    Attributes:
        tensors: by their names among modules.
        names: of those, by the name in the file.
        numbers: numbers and lists of them, by the name in the file.
        number_entries: how many there are.
        files: of external data.
        settings: names of what is a setting where it is read, such as the factors of a resize.
    """

    def __init__(self, path: Path, package: Package) -> None:
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
        numbers = [short(one) for one in array.flatten()] if array.dtype == np.float32 else None
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
        dtype = TYPES.get(proto.data_type)
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


def short(number: float) -> float:
    """A number of 32 bits as the shortest decimal that it stands for."""
    return float(str(np.float32(number)))


def _safe(name: str) -> str:
    """A name that can be the path of a tensor in a module: other signs become ``_``."""
    if re.fullmatch(NAME_MARKS, name):
        return name
    parts = [re.sub(r"[^A-Za-z0-9_:/@+\-]", "_", part) for part in name.split(".")]
    return ".".join(part for part in parts if part) or "_"
