"""What the pickles of torch refer to: storages, and the functions that make tensors of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlgen_cli.checkpoints.pickles.machine import (
    Bag,
    FindName,
    Inert,
    UnknownNameError,
    as_dict,
    read_pickle,
)
from dlgen_cli.checkpoints.stored import (
    FLOATING,
    OTHERS,
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


@dataclass(slots=True)
class Storage:
    """A run of entries in a file.

    Attributes:
        kind: type of its entries.
        size: in bytes.
        file: holds it.
        offset: of its first byte; in a legacy file it is known once the whole pickle is read.
        swapped: its bytes stand in the other order than on this machine.
    """

    kind: TypeName
    size: int
    file: SourceFile
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorView:
    """A tensor as a pickle describes it; `place` turns it into one that can be read."""

    view: StorageView
    kind: TypeName
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

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
        return whole


#: What a pickle holds in place of a tensor.
Leaf = TensorView | StoredTensor


def read_tree(
    stream: io.BytesIO,
    find_storage: Callable[[str, TypeName, int], Storage],
    *,
    find_other: FindName | None = None,
) -> Any:
    """Read a pickle of torch.

    Args:
        stream: in memory; it then stands behind the pickle.
        find_storage: the storage of a key, a type and a number of bytes.
        find_other: what names mean that are not among torch's own.

    Returns:
        What `read_pickle` returns, with a `TensorView` or `StoredTensor` for each tensor.

    Raises:
        UnknownNameError: it needs a function or class that is not on the list.
        ValueError: it is damaged.
    """

    def read_reference(found: Any) -> StorageView:
        tag, kind, key, _location, count, *rest = found
        if tag != "storage" or not isinstance(kind, TypeName) or not isinstance(key, str):
            raise ValueError(f"a reference to {brief(tag)}")
        (count,) = as_counts([count])
        storage = find_storage(key, kind, count * kind.width)
        view = rest[0] if rest else None
        return StorageView(storage, 0 if view is None else as_counts([view[1]])[0])

    def find_name(module: str, name: str) -> Callable[..., Any]:
        known: Callable[..., Any] | None = _find_torch(module, name)
        if known is not None:
            return known
        if find_other is None:
            raise UnknownNameError(f"{module}.{name}")
        return find_other(module, name)

    return read_pickle(stream, find_name, read_reference)


def _find_torch(module: str, name: str) -> Any:
    if module in {"torch", "torch.cuda", "torch.storage"} and name in _STORAGES:
        return TypeName(_STORAGES[name], is_untyped=name == "UntypedStorage")
    if module == "torch" and (name in FLOATING or name in OTHERS or name in _PACKED):
        return TypeName(name)
    return _FUNCTIONS.get((module, name))


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


def _rebuild_tensor(view: Any, start: Any, shape: Any, strides: Any, *_rest: Any) -> TensorView:
    return _tensor(view, start, shape, strides)


def _rebuild_tensor_v3(
    view: Any, start: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, kind: Any, *_rest: Any
) -> TensorView:
    if not isinstance(kind, TypeName):
        raise TypeError(f"{brief(kind)} is no type of entries")
    return _tensor(view, start, shape, strides, kind)


def _rebuild_quantized(view: Any, start: Any, shape: Any, strides: Any, *_rest: Any) -> Leaf:
    described = _tensor(view, start, shape, strides)
    kind = described.kind.name
    return unread(described.shape, kind, f"{kind}: quantised entries")


def _rebuild_sparse(layout: Any, data: Sequence[Any]) -> StoredTensor:
    where = 3 if layout in {"torch.sparse_csr", "torch.sparse_csc"} else 2
    shape = data[where] if isinstance(data[where], tuple) else ()
    return unread(shape, "sparse", "sparse: not dense")


def _rebuild_meta(kind: Any, shape: Any, *_rest: Any) -> StoredTensor:
    return unread(shape, kind.name, "on the meta device: it has no entries")


def _rebuild_from_type(function: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    if function not in _MAKERS:
        raise TypeError("a tensor of an unknown make")
    return function(*arguments)


def _as_parameter(tensor: Any, *_rest: Any) -> Any:
    return tensor


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return as_dict(pairs.items() if isinstance(pairs, dict) else pairs)


def _first(value: Any = ()) -> Any:
    return value


def _default_dict(_factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    return _ordered(pairs)


def inert(*_arguments: Any) -> Inert:
    """Something that holds no tensor."""
    return Inert()


#: Names of values that hold no tensor.
_OF_NO_INTEREST = (
    ("torch", "device"),
    ("torch", "per_tensor_affine"),
    ("torch", "per_tensor_symmetric"),
    ("torch", "per_channel_affine"),
    ("torch", "per_channel_symmetric"),
    ("torch", "per_channel_affine_float_qparams"),
    ("torch", "strided"),
    ("torch", "contiguous_format"),
    ("torch", "preserve_format"),
    ("torch", "channels_last"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
    ("torch.torch_version", "TorchVersion"),
    ("_codecs", "encode"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "int"),
    ("builtins", "float"),
    ("builtins", "list"),
    ("__builtin__", "set"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
)
#: What makes a tensor from a storage or from another tensor.
_MAKERS = (_rebuild_tensor, _rebuild_tensor_v3, _rebuild_quantized, _rebuild_sparse, _as_parameter)
_FUNCTIONS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "Counter"): _ordered,
    ("torch", "Size"): _first,
    ("torch.serialization", "_get_layout"): _first,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _as_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _as_parameter,
    ("torch._utils", "_rebuild_qtensor"): _rebuild_quantized,
    ("torch._utils", "_rebuild_sparse_tensor"): _rebuild_sparse,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _rebuild_meta,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    **dict.fromkeys(_OF_NO_INTEREST, inert),
}


def find_script_class(module: str, name: str) -> Callable[..., Any]:
    """What names mean in a TorchScript archive: classes are bags, lists are what they hold.

    Raises:
        UnknownNameError: the name is none of TorchScript's.
    """
    if module.startswith("__torch__"):
        return lambda *_arguments: Bag()
    if module == "torch.jit._pickle" and name in {
        "build_intlist",
        "build_tensorlist",
        "build_doublelist",
        "build_boollist",
        "restore_type_tag",
    }:
        return lambda value, *_rest: value
    raise UnknownNameError(f"{module}.{name}")
