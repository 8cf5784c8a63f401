"""Normalizations that code writes out: recognised in the recorded calls, and made one call each.

The parts have no rule, as they divide by an activation; the whole has one. Let c be a group of n
entries, from which its mean may be taken off (a projection, which moves no two points apart), let k
be n, n - 1 or 1, and ``s^2 = ||c||^2 / k``. Then each of

- ``c / sqrt(s^2 + epsilon)``, whose Jacobian ``(I - c c^T / (k (s^2 + epsilon))) / sqrt(s^2 +
  epsilon)`` lies between 0 and ``1/sqrt(epsilon)``,
- ``c / (s + epsilon)``, whose Jacobian is ``1/(s + epsilon)`` across c, and ``epsilon / (s +
  epsilon)^2`` along it: ``1/epsilon`` at most,
- ``c / max(s, epsilon)``, the projection to a ball, divided by epsilon,

has a norm of ``sqrt(k)`` at most.

Global response normalization divides n values ``g >= 0`` by their mean m: ``g / (m + epsilon)``.
Its norm is at most its sum, ``n m / (m + epsilon) <= n``. Its Jacobian ``I / (m + epsilon) -
g 1^T / (n (m + epsilon)^2)`` is at most ``1/epsilon + sqrt(n) m / (m + epsilon)^2``, as ``||g|| <=
n m``; and ``m / (m + epsilon)^2 <= 1 / (4 epsilon)``.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from dlgen_cli.networks.calls import Call, NoRuleError, asks_in_place, canonical_name, function_name
from dlgen_cli.networks.normalizations import inverse_root_upper
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.networks.token_axes import from_end, is_axis
from dlgen_cli.records import GraphNode

_Form = Literal["root", "sum", "largest"]


def divide_by_deviation(
    x: Tensor,
    dim: Sequence[int],
    *,
    form: _Form,
    epsilon: float,
    centred: bool,
    without: int | None,
) -> Tensor:
    """``c / sqrt(s^2 + epsilon)`` and the other forms of this module.

    Args:
        x: any shape.
        dim: axes of a group.
        form: ``root``, ``sum`` or ``largest``.
        epsilon: above 0.
        centred: whether the mean of the group is taken off.
        without: k is n less this; 1 where None.
    """
    axes = list(dim)
    c = x - x.mean(axes, keepdim=True) if centred else x
    count = math.prod(x.shape[axis] for axis in axes)
    square = c.square().sum(axes, keepdim=True) / (1 if without is None else count - without)
    if form == "root":
        return c / (square + epsilon).sqrt()
    deviation = square.sqrt()
    return c / (deviation + epsilon if form == "sum" else deviation.clamp(min=epsilon))


def divide_by_mean(x: Tensor, dim: Sequence[int], *, epsilon: float) -> Tensor:
    """``g / (m + epsilon)`` of values that are not negative."""
    return x / (x.mean(list(dim), keepdim=True) + epsilon)


def written_normalization(call: Call) -> GraphNode:
    """The node of `divide_by_deviation`."""
    groups, count, axis = _groups(call)
    without, epsilon = call.kwargs["without"], call.kwargs["epsilon"]
    k = 1 if without is None else count - without
    if not epsilon > 0 or k < 1:
        raise NoRuleError("it divides by a statistic without an epsilon: no finite constant")
    is_root = call.kwargs["form"] == "root"
    factor = inverse_root_upper(epsilon) if is_root else _inverse_upper(epsilon)
    return _normalization(call, factor, k, groups, axis)


def written_response(call: Call) -> GraphNode:
    """The node of `divide_by_mean`."""
    groups, count, axis = _groups(call)
    epsilon = call.kwargs["epsilon"]
    if not epsilon > 0:
        raise NoRuleError("it divides by a mean without an epsilon: no finite constant")
    factor = _inverse_upper(epsilon) * (1 + root_upper(count) / 4) * (1 + 2.0**-40)
    return _normalization(call, factor, count * count, groups, axis)


def _normalization(
    call: Call, factor: float, square: int, groups: int, axis: int | None
) -> GraphNode:
    """Groups of a norm whose square is at most ``square``."""
    return call.becomes(
        "normalization",
        factor_upper=factor,
        cap_upper=root_upper(square * groups),
        token_axis=axis,
        token_cap_upper=None if axis is None else root_upper(square),
        entry_cap_upper=root_upper(square),
    )


def _groups(call: Call) -> tuple[int, int, int | None]:
    """How many groups there are, of how many entries, and along which axis if it is one."""
    first = call.only()
    shape = first.shape or ()
    axes = {from_end(one, len(shape)) for one in call.args[1]}
    if -len(shape) in axes:
        raise NoRuleError("it normalizes along the batch")
    count = math.prod(shape[axis] for axis in axes)
    only = axes.pop() if len(axes) == 1 else None
    return first.entries // count, count, only if only is not None and is_axis(call, only) else None


def _inverse_upper(number: float) -> float:
    return max(1.0, math.nextafter(float(1 / Fraction(number)), math.inf))


def recognize_normalizations(graph: fx.Graph, root: nn.Module) -> None:
    """Replace the parts of each normalization by one call.

    Args:
        graph: of recorded calls; it is changed.
        root: whose modules it calls.
    """
    writing = {name for name, part in root.named_modules() if getattr(part, "inplace", False)}
    for node in list(graph.nodes):
        found = _quotient(node) if _name(node) in {"mul", "div"} else None
        if found is None or not all(_stays(one, writing) for one in (*found.parts, found.source)):
            continue
        with graph.inserting_before(node):
            made = graph.call_function(found.function, (found.source, found.dim), found.settings)
            made.meta = dict(node.meta)
            if found.factor is not None:
                product = graph.call_function(torch.mul, (found.factor, made))
                product.meta = dict(node.meta)
                made = product
        node.replace_all_uses_with(made)
        graph.erase_node(node)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A normalization: the call that it is, what it reads, and the parts that it was written in."""

    function: Any
    source: fx.Node
    dim: tuple[int, ...]
    settings: dict[str, Any]
    parts: tuple[fx.Node, ...]
    factor: Any = None


@dataclass(frozen=True, slots=True)
class _Statistic:
    """``s`` or ``s^2`` of a value: whose it is, over which axes, and k."""

    of: fx.Node
    dim: tuple[int, ...]
    without: int | None
    is_root: bool
    is_centred: bool = False


def _quotient(node: fx.Node) -> _Found | None:
    one, two = _two(node)
    if _name(node) == "div":
        return _over(one, two)
    for value, other in ((one, two), (two, one)):
        if _name(other) == "rsqrt":
            return _divided(value, _inner(other), is_root=True)
        if _name(other) == "pow" and other.args[1:] == (-0.5,):
            return _divided(value, _inner(other), is_root=True)
        if _name(other) == "reciprocal":
            return _over(value, _inner(other))
    return None


def _over(value: Any, divisor: Any) -> _Found | None:
    is_root = _name(divisor) == "sqrt" or (
        _name(divisor) == "pow" and divisor.args[1:] in {(0.5,), (1 / 2,)}
    )
    return _divided(value, _inner(divisor) if is_root else divisor, is_root=is_root)


def _divided(value: Any, divisor: Any, *, is_root: bool) -> _Found | None:
    """``value / sqrt(divisor)`` or ``value / divisor``."""
    inside, epsilon, form = _with_epsilon(divisor)
    if inside is None or (is_root and form == "largest"):
        return None
    if not is_root and _name(inside) == "mean":
        return _response(value, inside, epsilon, divisor) if form == "sum" else None
    known = _statistic(inside)
    if known is None or known.is_root == is_root:
        return None
    candidates = [(value, None)]
    if _name(value) == "mul":
        one, two = _two(value)
        candidates += [(one, two), (two, one)]
    for c, factor in candidates:
        source, is_centred = _source(c, known)
        if source is not None:
            how = {"form": "root" if is_root else form, "epsilon": epsilon, "centred": is_centred}
            return _Found(
                function=divide_by_deviation,
                source=source,
                dim=known.dim,
                settings={**how, "without": known.without},
                parts=(divisor, inside, known.of, c),
                factor=factor,
            )
    return None


def _with_epsilon(divisor: Any) -> tuple[fx.Node | None, float, _Form]:
    """What a number is added to, or what is at least that number."""
    form: _Form = "sum"
    inside: Any = None
    epsilon: Any = None
    if _name(divisor) == "clamp" and _setting(divisor, "max", 2, None) is None:
        form, inside, epsilon = "largest", _inner(divisor), _setting(divisor, "min", 1, None)
    elif _name(divisor) == "add" and len(divisor.args) == 2 and not divisor.kwargs:
        inside, epsilon = divisor.args
        if isinstance(epsilon, fx.Node):
            inside, epsilon = epsilon, inside
    if not isinstance(inside, fx.Node) or not isinstance(epsilon, int | float):
        return None, 0.0, form
    return inside, float(epsilon), form


def _source(c: Any, known: _Statistic) -> tuple[fx.Node | None, bool]:
    """What is normalized where c is what the statistic is of, and whether its mean is taken off."""
    if not isinstance(c, fx.Node):
        return None, False
    c, of = _base(c), _base(known.of)
    centred, also = _centred(c, known.dim), _centred(of, known.dim)
    if known.is_centred:  # a variance is that of what is centred, whatever its mean
        return (centred if centred is of else None), True
    if centred is not None:
        return (centred if c is of or centred is also else None), True
    return (c if c is of else None), False


def _centred(c: Any, dim: tuple[int, ...]) -> fx.Node | None:
    """The x of ``x - mean(x)``."""
    if _name(c) != "sub" or len(c.args) != 2 or c.kwargs:
        return None
    x, mean = c.args
    is_mean = _name(mean) == "mean" and _axes(mean, 1) == dim and _keeps(mean, 2)
    same = is_mean and isinstance(x, fx.Node) and _base(x) is _base(mean.args[0])
    return _base(x) if same else None


def _response(value: Any, mean: fx.Node, epsilon: float, divisor: fx.Node) -> _Found | None:
    """A norm over its mean, along other axes."""
    dim, norm = _axes(mean, 1), mean.args[0]
    if dim is None or not isinstance(norm, fx.Node) or not _keeps(mean, 2):
        return None
    if _name(norm) not in _NORMS or value is not norm:
        return None
    return _Found(
        function=divide_by_mean,
        source=norm,
        dim=dim,
        settings={"epsilon": epsilon},
        parts=(divisor, mean),
    )


_NORMS = ("norm", "linalgvectornorm")


def _statistic(node: fx.Node) -> _Statistic | None:
    name, source = _name(node), node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return None
    if name == "sqrt":
        known = _statistic(source)
        return None if known is None or known.is_root else replace(known, is_root=True)
    places = {"mean": (1, 2), "sum": (1, 2), "var": (1, 3), "std": (1, 3)}
    place, keeps = places.get(name, (2, 3))
    dim = _axes(node, place)
    if dim is None or not _keeps(node, keeps):
        return None
    return _of_axes(node, name, source, dim)


def _of_axes(node: fx.Node, name: str, source: fx.Node, dim: tuple[int, ...]) -> _Statistic | None:
    without = _correction(node)
    if name in _NORMS and _setting(node, "p" if name == "norm" else "ord", 1, 2) in {2, "fro"}:
        return _Statistic(source, dim, None, is_root=True)
    if name in {"var", "std"} and without in {0, 1}:
        return _Statistic(source, dim, without, is_root=name == "std", is_centred=True)
    c = _squared(source) if name in {"mean", "sum"} else None
    return None if c is None else _Statistic(c, dim, 0 if name == "mean" else None, is_root=False)


def _correction(node: fx.Node) -> Any:
    """What a variance takes off the number of entries."""
    unbiased = _setting(node, "unbiased", 2, None)
    if isinstance(unbiased, bool):
        return int(unbiased)
    return node.kwargs.get("correction", 1)


def _squared(node: fx.Node) -> fx.Node | None:
    """The c of its square."""
    name, first = _name(node), node.args[0] if node.args else None
    if not isinstance(first, fx.Node):
        return None
    if name == "square" or (name == "pow" and node.args[1:] == (2,)):
        return first
    is_square = name == "mul" and len(node.args) == 2 and node.args[1] is first
    return first if is_square else None


def _name(node: Any) -> str:
    """Canonical name of a call that does not write on its arguments; empty for anything else."""
    if not isinstance(node, fx.Node) or node.op not in {"call_function", "call_method"}:
        return ""
    if callable(node.target):
        name, is_in_place = function_name(node.target)
        is_in_place |= asks_in_place(node.target, node.args, node.kwargs)
        return "" if is_in_place else name
    target = str(node.target)
    return "" if target.endswith("_") else canonical_name(target)


def _stays(node: fx.Node, writing: Container[str]) -> bool:
    """Whether nothing writes on a value."""
    calls = [one for one in node.users if one.op in {"call_function", "call_method"}]
    modules = [one for one in node.users if one.op == "call_module"]
    return all(map(_name, calls)) and not any(str(one.target) in writing for one in modules)


def _base(node: Any) -> Any:
    """A value before it was converted to another type of real numbers."""
    while _name(node) in {"float", "double", "typeas"} or (
        _name(node) == "to" and node.args[1:] in {(torch.float32,), (torch.float64,)}
    ):
        node = node.args[0]
    return node


def _inner(node: Any) -> Any:
    return node.args[0] if isinstance(node, fx.Node) and node.args else None


def _two(node: fx.Node) -> tuple[Any, Any]:
    return (node.args[0], node.args[1]) if len(node.args) == 2 else (None, None)


def _setting(node: fx.Node, name: str, place: int, default: Any) -> Any:
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[place] if len(node.args) > place else default


def _keeps(node: fx.Node, place: int) -> bool:
    return _setting(node, "keepdim", place, False) is True  # noqa: FBT003


def _axes(node: fx.Node, place: int) -> tuple[int, ...] | None:
    """The axes of a statistic; None where they are not named."""
    given = _setting(node, "dim", place, None)
    several = (given,) if isinstance(given, int) else tuple(given or ())
    is_named = several and all(type(one) is int for one in several)
    return several if is_named else None
