"""What the pickles of torch refer to: storages, and the functions that make tensors of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlgen_cli.checkpoints.pickles.arrays import Array, Latin, find_array_name
from dlgen_cli.checkpoints.pickles.machine import Bag, Inert, Name, put, read_pickle
from dlgen_cli.checkpoints.stored import (
    FLOATING,
    OTHERS,
    HeldBytes,
    SourceFile,
    StoredTensor,
    as_counts,
    as_shape,
    brief,
    dense,
    itemsize,
    unread,
)

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "uint8",
}
_PACKED = {"qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1}


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type of entries, as a pickle refers to it.

    Attributes:
        name: torch's.
        is_untyped: it stands for a storage of bytes.
    """

    name: str
    is_untyped: bool = False

    @property
    def width(self) -> int:
        """Bytes of one entry."""
        return _PACKED.get(self.name) or itemsize(self.name)


@dataclass(slots=True, eq=False)
class Storage:
    """A run of entries in a file.

    Attributes:
        name: what the file calls it.
        kind: type of its entries.
        size: in bytes.
        file: holds it.
        offset: of its first byte; in a legacy file it is known once the whole pickle is read.
        swapped: its bytes stand in the other order than on this machine.
    """

    name: str
    kind: TypeName
    size: int
    file: SourceFile | HeldBytes
    offset: int | None
    swapped: bool = False


@dataclass(frozen=True, slots=True)
class StorageView:
    """A part of a storage.

    Attributes:
        storage: the whole.
        start: first entry of the part.
    """

    storage: Storage
    start: int = 0

    @property
    def whole(self) -> TensorView:
        """All its entries as a vector."""
        kind = self.storage.kind
        count = self.storage.size // kind.width - self.start
        return TensorView(view=self, kind=kind, start=0, shape=(count,), strides=(1,))

    def place(self) -> StoredTensor:
        """The vector, as one that can be read."""
        return self.whole.place()


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorView:
    """A tensor as a pickle describes it; `place` turns it into one that can be read.

    Where it is ``is_negated`` or ``is_conjugated``, the stored entries are not yet its own.
    """

    view: StorageView
    kind: TypeName
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_negated: bool = False
    is_conjugated: bool = False

    def place(self) -> StoredTensor:
        """Where its entries lie.

        Raises:
            ValueError: they are not all in the storage.
        """
        storage, width = self.view.storage, self.kind.width
        start = (self.view.start + self.start) * width
        if storage.offset is None:
            raise ValueError("a storage is not there")
        if self.kind.name in _PACKED:
            return unread(self.shape, self.kind.name, f"{self.kind.name}: quantised entries")
        whole = dense(
            storage.file,
            storage.offset + start,
            self.kind.name,
            self.shape,
            strides=self.strides,
            swapped=storage.swapped,
        )
        last = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if 0 not in self.shape and start + (last + 1) * width > storage.size:
            raise ValueError(f"a tensor of shape {brief(self.shape)} is larger than its storage")
        return _resolved(whole) if self.is_negated else whole


def _resolved(stored: StoredTensor) -> StoredTensor:
    """The negative of a tensor."""
    return replace(stored, load=lambda: -stored.load(), place=(stored.place, "negated"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartedTensor:
    """A tensor that is stored as several, such as a sparse one: it is named but not read.

    Attributes:
        shape: sizes of its axes.
        dtype: what it is.
        reason: why it is not read.
        parts: what it is stored as.
    """

    shape: tuple[int, ...]
    dtype: str
    reason: str
    parts: tuple[Any, ...] = ()

    def place(self) -> StoredTensor:
        """The tensor, which cannot be read."""
        return unread(self.shape, self.dtype, self.reason)


#: What a pickle holds in place of a tensor.
Leaf = TensorView | PartedTensor | StorageView | Array | StoredTensor


def read_tree(
    stream: io.BytesIO,
    find_storage: Callable[[str, TypeName, int], Storage],
    read_bytes: Callable[[bytes], StorageView] | None = None,
) -> Any:
    """Read a pickle of torch.

    Args:
        stream: in memory; it then stands behind the pickle.
        find_storage: the storage of a key, a type and a number of bytes.
        read_bytes: the storage in bytes inside the pickle, as ``pickle.dump`` writes it; without
            one such tensors are named and not read.

    Returns:
        What `read_pickle` returns, with a `Leaf` for each tensor, storage and array.

    Raises:
        UnknownNameError: it calls a function that acts.
        ValueError: it is damaged.
    """

    def read_reference(found: Any) -> Any:
        tag, kind, key, *rest = found
        if tag == "module":  # a class with its source text, in files before torch 1.6
            return kind
        _location, count, *rest = rest
        if tag != "storage" or not isinstance(kind, TypeName) or not isinstance(key, str):
            raise ValueError(f"a reference to {brief(tag)}")
        (count,) = as_counts([count])
        storage = find_storage(key, kind, count * kind.width)
        view = rest[0] if rest else None
        return StorageView(storage, 0 if view is None else as_counts([view[1]])[0])

    def find_name(module: str, name: str) -> Any:
        if read_bytes is not None and (module, name) == ("torch.storage", "_load_from_bytes"):
            return lambda held: read_bytes(held.encoded() if isinstance(held, Latin) else held)
        return _find_name(module, name)

    return read_pickle(stream, find_name, read_reference)


def _find_name(module: str, name: str) -> Any:
    if module in {"torch", "torch.cuda", "torch.storage"} and name in _STORAGES:
        return TypeName(_STORAGES[name], is_untyped=name == "UntypedStorage")
    if module == "torch" and (name in FLOATING or name in OTHERS or name in _PACKED):
        return TypeName(name)
    if module == "torch.jit._pickle":
        return _first
    return _FUNCTIONS.get((module, name)) or find_array_name(module, name)


def _tensor(
    view: Any, start: Any, shape: Any, strides: Any, kind: TypeName | None = None
) -> TensorView:
    if not isinstance(view, StorageView):
        raise TypeError("a tensor without a storage")
    sizes, _ = as_shape(shape)
    steps = as_counts(strides)
    if len(steps) != len(sizes):
        raise ValueError(f"strides {brief(strides)} for the shape {brief(shape)}")
    return TensorView(
        view=view,
        kind=kind or view.storage.kind,
        start=as_counts([start])[0],
        shape=sizes,
        strides=steps,
    )


def _rebuild_tensor(
    view: Any,
    start: Any,
    shape: Any,
    strides: Any,
    _grad: Any = None,
    _hooks: Any = None,
    bits: Any = None,
    *_rest: Any,
) -> TensorView | PartedTensor:
    if isinstance(view, Bag):  # torch.storage._load_from_bytes, of pickle.dump
        reason = "bytes inside a pickle, as pickle.dump writes: save it with torch.save"
        return PartedTensor(shape=as_shape(shape)[0], dtype="bytes", reason=reason)
    plain = _tensor(view, start, shape, strides)
    if not isinstance(bits, dict) or not (bits.get("neg") or bits.get("conj")):
        return plain
    return replace(plain, is_negated=bool(bits.get("neg")), is_conjugated=bool(bits.get("conj")))


def _rebuild_tensor_v3(
    view: Any, start: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, kind: Any, *_rest: Any
) -> TensorView:
    if not isinstance(kind, TypeName):
        raise TypeError(f"{brief(kind)} is no type of entries")
    return _tensor(view, start, shape, strides, kind)


def _rebuild_quantized(
    view: Any, start: Any, shape: Any, strides: Any, quantizer: Any = (), *_rest: Any
) -> PartedTensor:
    described = _tensor(view, start, shape, strides)
    kind = described.kind.name
    scales = quantizer if isinstance(quantizer, tuple) else ()
    return _parted(described.shape, kind, f"{kind}: quantised entries", described, *scales)


def _rebuild_sparse(layout: Any, data: Sequence[Any]) -> PartedTensor:
    where = 3 if layout in {"torch.sparse_csr", "torch.sparse_csc"} else 2
    shape = data[where] if isinstance(data[where], tuple) else ()
    return _parted(as_shape(shape)[0], "sparse", "sparse: not dense", *data)


def _parted(shape: tuple[int, ...], dtype: str, reason: str, *parts: Any) -> PartedTensor:
    stored = tuple(one for one in parts if isinstance(one, Leaf))
    return PartedTensor(shape=shape, dtype=dtype, reason=reason, parts=stored)


def _rebuild_meta(kind: Any, shape: Any, *_rest: Any) -> StoredTensor:
    return unread(shape, kind.name, "on the meta device: it has no entries")


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor of a class of its own: what it is made of, and its attributes."""
    made = function(*arguments)
    if not isinstance(made, Leaf | Bag):
        raise TypeError("a tensor of an unknown make")
    return _with_state(made, kind, state)


def _with_state(made: Any, kind: Any, state: Any) -> Any:
    """A tensor with attributes is an object that has the tensor under no name."""
    if not state:
        return made
    whole = Bag(kind.text if isinstance(kind, Name) else "")
    whole[""] = made
    whole.set_state(state)
    return whole


def _as_parameter(tensor: Any, *_rest: Any) -> Any:
    return tensor


def _as_parameter_with_state(
    tensor: Any, _grad: Any = None, _hooks: Any = None, state: Any = None
) -> Any:
    return _with_state(tensor, None, state)


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return put({}, pairs.items() if isinstance(pairs, dict) else pairs)


def _first(value: Any = (), *_rest: Any) -> Any:
    return value


def _default_dict(_factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    return _ordered(pairs)


def _inert(*_arguments: Any) -> Inert:
    """Something that holds no tensor."""
    return Inert()


def _bytes(value: Any = b"", *encoding: Any) -> Any:
    """A text of single bytes, where an encoding is given; never a number of bytes."""
    if isinstance(value, str) and encoding:
        return Latin(value)
    return value if isinstance(value, bytes | Latin) else Inert()


def _listed(values: Any = ()) -> Any:
    return list(values) if isinstance(values, list | tuple) else []


_FUNCTIONS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "set"): _listed,
    ("builtins", "frozenset"): _listed,
    ("builtins", "list"): _listed,
    ("builtins", "tuple"): _listed,
    ("builtins", "dict"): _ordered,
    ("builtins", "bytearray"): _bytes,
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "Counter"): _ordered,
    ("torch", "Size"): _first,
    ("torch", "device"): _inert,
    ("torch.serialization", "_get_layout"): _first,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _as_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _as_parameter_with_state,
    ("torch._utils", "_rebuild_qtensor"): _rebuild_quantized,
    ("torch._utils", "_rebuild_sparse_tensor"): _rebuild_sparse,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _rebuild_meta,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
}
