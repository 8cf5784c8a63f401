"""One call of a traced network, whatever its spelling: module, function, method or operator."""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.records import GraphNode, NodeKind


class NoRuleError(Exception):
    """The operation has no rule; the message says why."""


@dataclass(frozen=True, slots=True)
class Activation:
    """An argument that is the value of a node: it depends on the input, or on stored tensors.

    Attributes:
        node: name of the node whose value it is.
        shape: of its value, with the batch of one; None where it is a tuple of tensors.
        token_axis: that of the node.
        is_constant: whether no input changes it.
        stored: name of the stored tensor that it is, as it is stored; None elsewhere.
        view_of: name and shape of the stored tensor whose entries it has, in their order.
    """

    node: str
    shape: tuple[int, ...] | None
    token_axis: int | None = None
    is_constant: bool = False
    stored: str | None = None
    view_of: tuple[str, tuple[int, ...]] | None = None

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Without a leading axis of one entry, which the batch is; empty for a tuple."""
        return without_batch(self.shape)

    @property
    def entries(self) -> int:
        """Number of entries; 0 for a tuple."""
        count = 1 if self.shape is not None else 0
        for size in self.shape or ():
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor argument that depends neither on the input nor on a stored floating-point tensor.

    Attributes:
        label: the parameter or buffer, or how it was made.
        value: gives its entries; None where they are not known.
    """

    label: str
    value: Callable[[], Tensor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call with all its arguments known.

    Attributes:
        node: unique name of its result.
        operation: canonical name: ``leakyrelu`` for ``nn.LeakyReLU``, ``F.leaky_relu_``.
        path: of the module that is called, or that calls the function.
        args: positional arguments, activations and constants as such.
        kwargs: named arguments.
        module: the module that is called; None for functions and methods.
        result_shape: with the batch of one; None where the result is a tuple of tensors.
    """

    node: str
    operation: str
    path: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    module: nn.Module | None
    result_shape: tuple[int, ...] | None

    @property
    def activations(self) -> list[Activation]:
        """All activations among the arguments, in order, also inside lists."""
        return [one for one in self._tensors() if isinstance(one, Activation)]

    @property
    def constants(self) -> list[Constant]:
        """All tensors among the arguments that do not depend on the input."""
        return [one for one in self._tensors() if isinstance(one, Constant)]

    @property
    def result_entries(self) -> int:
        """Number of entries of the result; 0 for a tuple."""
        return Activation(self.node, self.result_shape).entries

    def only(self) -> Activation:
        """The single activation of a map of one argument.

        Raises:
            NoRuleError: there are several, or a constant tensor takes part.
        """
        if self.constants:
            raise NoRuleError(f"it uses the tensor {self.constants[0].label} directly")
        found = self.activations
        if len(found) != 1:
            raise NoRuleError(f"it takes {len(found)} activations; one was expected")
        return found[0]

    def setting(self, name: str, default: Any) -> Any:
        """A setting by name: the module's attribute, or the function's argument."""
        if self.module is not None:
            return getattr(self.module, name, default)
        if name in self.kwargs:
            return self.kwargs[name]
        names = _POSITIONS.get(re.sub(r"[123]d$", "", self.operation), ())
        if name in names and names.index(name) + 1 < len(self.args):
            return self.args[names.index(name) + 1]
        return default

    def becomes(self, kind: NodeKind, **facts: Any) -> GraphNode:
        """The node of this call; its inputs are the activations unless ``facts`` name others."""
        node = GraphNode(
            name=self.node,
            kind=kind,
            operation=self.operation,
            inputs=tuple(one.node for one in self.activations),
            shape=self.example_shape,
        )
        return replace(node, **facts)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Of the result, without the batch; empty for a tuple."""
        return without_batch(self.result_shape)

    def _tensors(self) -> list[Activation | Constant]:
        found: list[Activation | Constant] = []
        waiting: list[Any] = [*self.args, *self.kwargs.values()]
        while waiting:
            item = waiting.pop(0)
            if isinstance(item, Activation | Constant):
                found.append(item)
            elif isinstance(item, Mapping):
                waiting[:0] = item.values()
            elif isinstance(item, Sequence) and not isinstance(item, str):
                waiting[:0] = item
        return found


def without_batch(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """A shape without a leading axis of one entry; empty for None.

    Where windows or heads come first, all axes are kept: none of their entries gets lost.
    """
    if not shape:
        return ()
    return shape[1:] if shape[0] == 1 else shape


#: Names of the positional arguments after the first, where torch gives no signature.
_POSITIONS: Mapping[str, tuple[str, ...]] = {
    "avgpool": (
        "kernel_size",
        "stride",
        "padding",
        "ceil_mode",
        "count_include_pad",
        "divisor_override",
    ),
    "maxpool": (
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "ceil_mode",
        "return_indices",
    ),
    "adaptiveavgpool": ("output_size",),
    "adaptivemaxpool": ("output_size", "return_indices"),
    "leakyrelu": ("negative_slope",),
    "rrelu": ("lower", "upper", "training"),
    "elu": ("alpha",),
    "celu": ("alpha",),
    "hardtanh": ("min_val", "max_val"),
    "clamp": ("min", "max"),
    "softplus": ("beta", "threshold"),
    "softshrink": ("lambd",),
    "dropout": ("p", "training"),
    "featurealphadropout": ("p", "training"),
    "alphadropout": ("p", "training"),
    "stochasticdepth": ("p", "mode", "training"),
    "pad": ("pad", "mode", "value"),
    "softmax": ("dim",),
    "logsoftmax": ("dim",),
    "layernorm": ("normalized_shape", "weight", "bias", "eps"),
    "rmsnorm": ("normalized_shape", "weight", "eps"),
    "groupnorm": ("num_groups", "weight", "bias", "eps"),
    "instancenorm": (
        "running_mean",
        "running_var",
        "weight",
        "bias",
        "use_input_stats",
        "momentum",
        "eps",
    ),
    "normalize": ("p", "dim", "eps"),
    "norm": ("p", "dim", "keepdim"),
    "linalgvectornorm": ("ord", "dim", "keepdim"),
    "localresponsenorm": ("size", "alpha", "beta", "k"),
    "linear": ("weight", "bias"),
    "conv": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "convtranspose": (
        "weight",
        "bias",
        "stride",
        "padding",
        "output_padding",
        "groups",
        "dilation",
    ),
    "embedding": ("weight",),
    "prelu": ("weight",),
    "permute": ("dims",),
    "transpose": ("dim0", "dim1"),
    "movedim": ("source", "destination"),
    "select": ("dim", "index"),
    "unbind": ("dim",),
    "mean": ("dim", "keepdim"),
    "sum": ("dim", "keepdim"),
    "cumsum": ("dim",),
    "roll": ("shifts", "dims"),
    "scaleddotproductattention": (
        "key",
        "value",
        "attn_mask",
        "dropout_p",
        "is_causal",
        "scale",
        "enable_gqa",
    ),
    "indexselect": ("dim", "index"),
    "unfold": ("kernel_size", "dilation", "padding", "stride"),
    "cat": ("dim",),
    "interpolate": (
        "size",
        "scale_factor",
        "mode",
        "align_corners",
        "recompute_scale_factor",
        "antialias",
    ),
    "upsample": ("size", "scale_factor", "mode", "align_corners"),
}

_OTHER_NAMES = {
    "truediv": "div",
    "divide": "div",
    "subtract": "sub",
    "multiply": "mul",
    "negative": "neg",
    "absolute": "abs",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "moveaxis": "movedim",
    "bmm": "matmul",
    "specialsoftmax": "softmax",
}
_IN_PLACE_OPERATORS = {
    operator.iadd: "add",
    operator.isub: "sub",
    operator.imul: "mul",
    operator.itruediv: "div",
}


def canonical_name(name: str) -> str:
    """One name for all spellings: ``leakyrelu`` for ``LeakyReLU``, ``leaky_relu_``."""
    plain = name.replace("_", "").lower()
    return _OTHER_NAMES.get(plain, plain)


def function_name(target: Callable[..., Any]) -> tuple[str, bool]:
    """Canonical name of a function, and whether it changes its first argument in place.

    A function that is not torch's own gets a name that no rule knows: its own, with the module.
    """
    if target in _IN_PLACE_OPERATORS:
        return _IN_PLACE_OPERATORS[target], True
    name = getattr(target, "__name__", str(target))
    if name == "stochastic_depth" and _home(target).startswith("torchvision."):
        return "stochasticdepth", False
    if id(target) not in _torch_functions():
        return f"{_home(target)}.{name}", False
    return canonical_name(name), name.endswith("_")


def asks_in_place(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call gives ``inplace=True``, by its name or by its place."""
    if kwargs.get("inplace"):
        return True
    if not callable(target) or not any(one is True for one in args):
        return False
    try:
        given = inspect.signature(target).bind(*args, **kwargs)
    except (ValueError, TypeError):  # torch's own functions in C have none
        return False
    return bool(given.arguments.get("inplace"))


def _home(target: Callable[..., Any]) -> str:
    return str(getattr(target, "__module__", ""))


@cache
def _torch_functions() -> frozenset[int]:
    """The identities of torch's own functions and of the operators, which live for ever."""
    rooms = (functional, torch, torch.linalg, operator)
    return frozenset(id(one) for room in rooms for one in vars(room).values()) | {id(getattr)}
