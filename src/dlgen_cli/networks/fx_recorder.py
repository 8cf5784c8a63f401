"""Recording the calls of a module with ``torch.fx``."""

from __future__ import annotations

import copy
import operator
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from dlgen_cli.architectures.fixed_normalization import FixedNormalization
from dlgen_cli.architectures.row_normalization import RowNormalization
from dlgen_cli.networks.calls import function_name
from dlgen_cli.networks.decompositions import (
    FUNCTIONS,
    MODULES,
    RECORDED_INSIDE,
    with_computed_tensors,
)
from dlgen_cli.networks.loaded_module import input_dtype_of
from dlgen_cli.networks.programs.module import ProgramModule
from dlgen_cli.networks.written_normalizations import recognize_normalizations


class _Recorded(fx.Proxy):
    """A proxy that records ``x += y`` as what it is: torch changes x in place.

    ``torch.fx`` records it as ``x = x + y``, and other names of the same tensor keep the old
    value, which is another function than the module's.
    """

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.itruediv, other)

    def _in_place(self, function: Any, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


class _Recorder(fx.Tracer):
    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if type(m) in RECORDED_INSIDE:
            return False
        is_leaf = super().is_leaf_module(m, module_qualified_name)
        return is_leaf or isinstance(m, FixedNormalization | RowNormalization)

    def create_proxy(  # type: ignore[override]  # the names that fx gives
        self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], **more: Any
    ) -> fx.Proxy:
        """What has no rule as a whole is recorded in its parts."""
        if kind == "call_function":
            in_parts = FUNCTIONS.get(target) or with_computed_tensors(target, args, kwargs)
            if in_parts is not None:
                found: fx.Proxy = in_parts(*args, **kwargs)
                return found
        return super().create_proxy(kind, target, args, kwargs, **more)

    def call_module(
        self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Modules without a rule of their own are recorded in their parts."""
        in_parts = MODULES.get(type(m))
        if in_parts is not None:
            return in_parts(m, *args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Recorded(node, self)


class _Shaped(_Recorded):
    """A proxy whose shape is known; the first axis, where the batch is, stays open.

    Control flow that asks for sizes takes its way as it does for one example of this shape.
    """

    @property
    def _value(self) -> Any:
        return self.node.meta["value"]

    @property
    def shape(self) -> Any:
        """The sizes: the first as a proxy, the others as numbers."""
        value = self._value
        if not isinstance(value, Tensor):
            raise AttributeError("shape")  # noqa: TRY004  as of any value without one
        if not value.ndim:
            return ()
        recorded = self.tracer.create_proxy("call_function", getattr, (self, "shape"), {})
        first = self.tracer.create_proxy("call_function", operator.getitem, (recorded, 0), {})
        return (first, *value.shape[1:])

    def size(self, dim: int | None = None) -> Any:
        """One size or all of them."""
        return self.shape if dim is None else self.shape[dim]

    def __getattr__(self, k: str) -> Any:
        if k in _FACTS:
            return getattr(self._value, k)
        return super().__getattr__(k)

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        if isinstance(self._value, Tensor):
            raise NotImplementedError("it depends on the values of activations")
        return bool(self._value)

    def __index__(self) -> int:
        return operator.index(self._value)

    def __int__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return float(self._value)

    def __iter__(self) -> Any:
        return (operator.getitem(self, place) for place in range(len(self._value)))

    def __setitem__(self, key: Any, value: Any) -> None:
        """The name stands for the changed tensor from now on."""
        made = self.tracer.create_proxy("call_function", with_item, (self, key, value), {})
        self.node = made.node


#: What a tensor says of itself whatever its entries are.
_FACTS = frozenset(
    {
        "ndim",
        "dim",
        "dtype",
        "is_cuda",
        "is_nested",
        "is_sparse",
        "is_floating_point",
        "is_complex",
        "requires_grad",
        "numel",
        "layout",
    }
)
#: Functions of torch that take sizes, and would refuse a recorded one.
_OF_SIZES = ("zeros", "ones", "full", "empty", "arange", "eye", "linspace", "tril_indices")


def with_item(tensor: Tensor, key: Any, value: Any) -> Tensor:
    """A copy of a tensor in which some entries are others."""
    changed = tensor.clone()
    changed[key] = value
    return changed


class _ShapedRecorder(_Recorder):
    """Records with the shapes of one example, and into functions that ask to be left whole."""

    def __init__(self, example: Tensor, twin: nn.Module) -> None:
        super().__init__()
        self._example = example
        self._twin = twin  # without entries
        self._is_evaluating = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Shaped(node, self)

    def create_proxy(self, kind: str, *args: Any, **kwargs: Any) -> fx.Proxy:
        made = super().create_proxy(kind, *args, **kwargs)
        self._is_evaluating = True
        try:
            made.node.meta["value"] = self._evaluate(made.node)
        finally:
            self._is_evaluating = False
        return made

    def call_module(
        self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self._is_evaluating:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self._is_evaluating:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def _value_of(self, node: fx.Node) -> Any:
        """The value of a node; a tensor that the code has made has no proxy yet."""
        if "value" not in node.meta:
            node.meta["value"] = self._evaluate(node)
        return node.meta["value"]

    def _evaluate(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            is_first = not any(one.op == "placeholder" for one in node.graph.nodes if one != node)
            return self._example if is_first else node.args[0] if node.args else None
        if node.op == "output":
            return None
        if node.op == "get_attr":
            found = attribute(self.root, str(node.target))
            return to_meta(found) if isinstance(found, Tensor) else found
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._value_of)
        with torch.device("meta"):
            if node.op == "call_module":
                return self._twin.get_submodule(str(node.target))(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            return node.target(*args, **kwargs)  # type: ignore[operator]  # no name is left


def attribute(root: nn.Module, path: str) -> Any:
    """What stands at a path of attributes."""
    found: Any = root
    for part in path.split("."):
        found = getattr(found, part)
    return found


def without_entries(module: nn.Module) -> nn.Module:
    """A copy on the meta device; no entry is copied."""
    known: dict[int, Any] = {}
    for part in module.modules():
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
            known[id(tensor)] = to_meta(tensor)
        for value in vars(part).values():
            if isinstance(value, Tensor):
                known[id(value)] = value  # a table of the architecture: its entries may be read
    return copy.deepcopy(module, known)


def to_meta(tensor: Tensor) -> Tensor:
    """A tensor of the same shape without entries."""
    if tensor.is_meta and tensor.is_contiguous():
        empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")  # a plain call
    else:
        empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty


def record(module: nn.Module, input_shape: tuple[int, ...]) -> fx.Graph:
    """The calls of a module, in order; torch's modules and our normalizations are one each.

    Args:
        module: in evaluation mode.
        input_shape: of one example, which is asked for where the code depends on sizes.

    Raises:
        Exception: whatever the module raises when its arguments are proxies.
    """
    graph = _recorded(module, input_shape)
    recognize_normalizations(graph, module)
    return graph


def _recorded(module: nn.Module, input_shape: tuple[int, ...]) -> fx.Graph:
    if isinstance(module, ProgramModule):
        return module.recorded()
    try:
        graph = _Recorder().trace(module)
    except Exception:  # code that asks for sizes; a second failure is raised
        return _record_shaped(module, input_shape)
    return graph if all(map(_is_known, graph.nodes)) else _record_shaped(module, input_shape)


def _is_known(node: fx.Node) -> bool:
    """Whether a call is no function that asked ``torch.fx`` to leave it whole."""
    return not callable(node.target) or "." not in function_name(node.target)[0]


def _record_shaped(module: nn.Module, input_shape: tuple[int, ...]) -> fx.Graph:
    kind = input_dtype_of(module)
    with torch.device("meta"):  # torch notes here which functions make tensors: the true ones
        example = torch.empty((1, *input_shape), dtype=kind)
    names: Any = vars(fx._symbolic_trace)["_wrapped_fns_to_patch"]  # noqa: SLF001
    kept = dict(names)
    makers = {name: getattr(torch, name) for name in _OF_SIZES}
    names.clear()
    recorder = _ShapedRecorder(example, without_entries(module))
    try:
        for name, make in makers.items():
            setattr(torch, name, partial(_make, recorder, make))
        return recorder.trace(module)
    finally:
        names.update(kept)
        for name, make in makers.items():
            setattr(torch, name, make)


def _make(recorder: fx.Tracer, make: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a tensor; record it where its size is a recorded number."""
    sizes = [*args, *(one for arg in args if isinstance(arg, tuple | list) for one in arg)]
    if any(isinstance(one, fx.Proxy) for one in (*sizes, *kwargs.values())):
        return recorder.create_proxy("call_function", make, args, kwargs)
    return make(*args, **kwargs)
