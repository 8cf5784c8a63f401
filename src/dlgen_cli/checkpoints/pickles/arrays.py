"""Arrays and numbers of numpy in pickles, as numpy's own ``__reduce__`` describes them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import torch

from dlgen_cli.checkpoints.pickles.machine import Name
from dlgen_cli.checkpoints.stored import (
    FLOATING,
    OTHERS,
    StoredTensor,
    as_counts,
    as_shape,
    brief,
    itemsize,
    unread,
    why_unread,
)

#: torch's names of numpy's types, by the letter and the bytes of an entry.
_TYPES = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "u8": "uint64",
    "b1": "bool",
    "c8": "complex64",
    "c16": "complex128",
}
#: Kinds of entries that are no numbers: objects, texts, bytes, times.
_NO_NUMBERS = "OUSVMm"


@dataclass(frozen=True, slots=True)
class Latin:
    """Bytes that protocol 2 keeps as a text of one character each; they are made when read."""

    text: str

    def __len__(self) -> int:
        """The number of bytes."""
        return len(self.text)

    def encoded(self) -> bytes:
        """The bytes."""
        return self.text.encode("latin-1")


@dataclass(slots=True)
class ArrayType:
    """The type of an array's entries.

    Attributes:
        code: numpy's, such as ``f4``.
        is_swapped: the bytes of an entry stand in the other order than on this machine.
        fields: of a record; they hold no tensor of their own.
    """

    code: str
    is_swapped: bool = False
    fields: Any = None

    def set_state(self, state: Any) -> None:
        """Take over ``(version, byte order, sub-array, names, fields, ...)``."""
        if isinstance(state, tuple) and len(state) > 4:
            self.is_swapped = state[1] == (">" if sys.byteorder == "little" else "<")
            self.fields = state[2] or state[4]

    @property
    def name(self) -> str:
        """Torch's name, or numpy's where torch has none."""
        return self.code if self.fields else _TYPES.get(self.code, self.code)

    @property
    def holds_numbers(self) -> bool:
        """Whether entries are numbers or records of them."""
        return bool(self.fields) or self.code[:1] not in _NO_NUMBERS


@dataclass(slots=True, eq=False)
class Array:
    """An array as a pickle describes it; `place` turns it into one that can be read.

    Attributes:
        shape: sizes of its axes.
        kind: type of its entries.
        is_fortran: the first axis is the fastest.
        data: its bytes; a list of an array of objects.
    """

    shape: tuple[int, ...] = ()
    kind: ArrayType = field(default_factory=lambda: ArrayType("O"))
    is_fortran: bool = False
    data: Any = b""

    def set_state(self, state: Any) -> None:
        """Take over ``(version, shape, type, whether Fortran's order, bytes)``."""
        if not isinstance(state, tuple) or len(state) not in {4, 5}:
            raise TypeError("an array without a state")
        shape, kind, is_fortran, data = state[-4:]
        if not isinstance(kind, ArrayType):
            raise TypeError("an array without a type")
        self.shape = as_shape(shape)[0]
        self.kind, self.is_fortran, self.data = kind, bool(is_fortran), data

    def place(self) -> StoredTensor:
        """The array as a tensor.

        Raises:
            ValueError: it has not the bytes that its shape needs.
        """
        sizes, count = as_shape(self.shape)
        name = self.kind.name
        if name not in FLOATING and name not in OTHERS:
            return unread(sizes, name, f"an array of numpy's type {brief(name)}")
        if not isinstance(self.data, bytes | bytearray | Latin):
            raise TypeError("an array without bytes")
        if len(self.data) != count * itemsize(name):
            raise ValueError(f"an array of shape {brief(sizes)} in {len(self.data):,} bytes")
        return StoredTensor(
            shape=sizes,
            dtype=name,
            reason=why_unread(name),
            load=self._load,
            place=("array", id(self)),
        )

    def _load(self) -> torch.Tensor:
        raw = self.data.encoded() if isinstance(self.data, Latin) else bytes(self.data)
        flat = torch.frombuffer(bytearray(raw), dtype=torch.uint8) if raw else torch.empty(0)
        width = itemsize(self.kind.name)
        if self.kind.is_swapped and width > 1 and raw:
            size = width // 2 if self.kind.name.startswith("complex") else width
            flat = flat.view(-1, size).flip(1).reshape(-1)
        entries = flat.view(getattr(torch, self.kind.name)) if raw else flat
        if self.is_fortran:
            return entries.view(self.shape[::-1]).permute(*reversed(range(len(self.shape))))
        return entries.view(self.shape)


def _array_type(code: Any = "", *_rest: Any) -> ArrayType:
    if isinstance(code, Name):  # ml_dtypes.bfloat16 and the like
        return ArrayType(code.name if code.name in FLOATING else code.text)
    if isinstance(code, Latin):
        code = code.text
    return ArrayType(code if isinstance(code, str) else "V")


def _reconstruct(*_arguments: Any) -> Array:
    return Array()


def _scalar(kind: Any, data: Any = b"") -> Any:
    if not isinstance(kind, ArrayType) or not kind.holds_numbers:
        return data
    return Array(kind=kind, data=data)


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any = "C", *_rest: Any) -> Array:
    if not isinstance(kind, ArrayType):
        raise TypeError("an array without a type")
    return Array(shape=as_counts(shape), kind=kind, is_fortran=order == "F", data=data)


def _encode(text: Any = "", *_rest: Any) -> Any:
    return Latin(text) if isinstance(text, str) else text


def find_array_name(module: str, name: str) -> Any:
    """What numpy's pickles refer to; None for other names."""
    return _FUNCTIONS.get((module.replace("numpy.core", "numpy._core"), name))


_FUNCTIONS = {
    ("numpy", "dtype"): _array_type,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
}
