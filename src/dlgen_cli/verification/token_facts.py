"""What a node says of tokens and entries, against its shape and the nodes before it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification.comparison import Mismatch

#: How far a product of rounded floats may lie below the exact one.
_ROUNDING = 1e-12
_LAST_AXES = {"layer_norm", "rms_norm", "layernorm", "rmsnorm"}
#: Kinds whose tokens are those of an input, along the same axis.
_AS_BEFORE = {"lipschitz", "prelu", "sum", "product", "concat", "diagonal", "linear"}
#: Operations of the kind ``scale`` that change no entry and no token but by their number.
_TIMES_A_NUMBER = {"mul", "div", "pow"}
_SUMS = {"sum"}


def check_tokens(row: Fields, before: Sequence[Fields]) -> Iterator[Mismatch]:
    """The axis of tokens, and the limits of tokens and entries.

    Args:
        row: of the node.
        before: of its inputs, in order.
    """
    kind, axis = row.text("kind"), _axis(row)
    if axis is not None:
        yield from _check_axis(row, before, kind, axis)
    if kind == "scale":
        yield from _check_factors(row)
    elif kind == "normalization":
        yield from _check_normalization(row, axis)
    elif kind == "matmul":
        yield from _check_matmul(row, before)
    elif kind == "attention":
        size = shape_of(before[0])[-1] if before and shape_of(before[0]) else 1
        factor = row.number("factor_upper") if "factor_upper" in row.values else 1.0
        if factor < (1 - _ROUNDING) / math.sqrt(size):
            yield odd(row, "factor_upper", f"at least 1 over the root of {size:g}")
    elif kind == "constant":
        yield from _check_constant(row)


def _check_axis(row: Fields, before: Sequence[Fields], kind: str, axis: int) -> Iterator[Mismatch]:
    shape = shape_of(row)
    if axis >= 0 or (shape and -axis > len(shape)):
        yield odd(row, "token_axis", "an axis of the shape, counted from the end")
    elif kind in _AS_BEFORE and axis not in [_axis(one) for one in before]:
        yield odd(row, "token_axis", "that of an input")
    elif kind in {"input", "constant", "max_pool", "exp"}:
        yield odd(row, "token_axis", f"none for a node of kind {kind}")
    elif kind in {"identity", "scale"}:
        own = _axis(before[0]) if before else None
        if own is None:
            yield odd(row, "token_axis", "none, as its input has none")
        elif row.text("operation") in _RESHAPING and not _is_reshaped(before[0], own, row, axis):
            yield odd(row, "token_axis", "the axis of the same inner stride")
    elif kind == "linear" and row.text("operation") != "linear":
        yield from _check_one_tap(row, axis)


_RESHAPING = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"}


def _is_reshaped(before: Fields, own: int, row: Fields, axis: int) -> bool:
    """Whether both axes have the same inner stride, and one size divides the other."""
    old, new = shape_of(before), shape_of(row)
    if not old or not new:
        return True
    stride, other = math.prod(old[own:]) / old[own], math.prod(new[axis:]) / new[axis]
    sizes = sorted((old[own], new[axis]))
    return stride == other and sizes[1] % sizes[0] == 0


def _check_one_tap(row: Fields, axis: int) -> Iterator[Mismatch]:
    """The tokens of a convolution lie along its channels."""
    axes = row.text("operation")[-2:-1]
    if not axes.isdigit() or axis != -int(axes) - 1:
        yield odd(row, "token_axis", "that of the channels")


def _check_factors(row: Fields) -> Iterator[Mismatch]:
    """Numbers multiply all norms alike; what picks, repeats or averages raises no token."""
    factor = row.number("factor_upper") if "factor_upper" in row.values else 1.0
    operation = row.text("operation")
    for name in ("token_factor_upper", "entry_factor_upper"):
        found = row.optional_number(name)
        if found is None:
            continue
        if operation in _TIMES_A_NUMBER:
            expected = factor
        elif operation in _SUMS:
            expected = factor**2
        else:
            expected = 1.0
        if not is_rounded_up(found, expected):
            yield odd(row, name, f"{expected:g}")


def _check_normalization(row: Fields, axis: int | None) -> Iterator[Mismatch]:
    operation, shape = row.text("operation"), shape_of(row)
    factor = row.number("factor_upper") if "factor_upper" in row.values else 1.0
    if factor < 1:
        yield odd(row, "factor_upper", "at least 1")
    entries = math.prod(shape)
    if operation == "localresponsenorm":
        least: dict[str, float | None] = dict.fromkeys(_CAPS)
    elif operation == "normalize":
        size = shape[axis] if axis is not None and shape else 1.0
        least = dict(zip(_CAPS, (math.sqrt(entries / size), 1.0, 1.0), strict=True))
    elif operation in _LAST_AXES:
        root = math.sqrt(shape[-1]) if shape else 1.0
        least = dict(zip(_CAPS, (math.sqrt(entries), root, root), strict=True))
    else:
        root = math.sqrt(entries / shape[0]) if shape else 1.0
        least = dict(zip(_CAPS, (math.sqrt(entries), None, root), strict=True))
    for name, expected in least.items():
        found = row.optional_number(name)
        if found is None:
            continue
        if expected is None or found < expected * (1 - _ROUNDING):
            yield odd(row, name, "none" if expected is None else f"at least {expected:g}")


_CAPS = ("cap_upper", "token_cap_upper", "entry_cap_upper")


def _check_matmul(row: Fields, before: Sequence[Fields]) -> Iterator[Mismatch]:
    axes = [int(one) for one in row.numbers("contracted")] if "contracted" in row.values else []
    if not axes or len(before) != 2:
        return
    shapes = [shape_of(one) for one in before]
    if any(len(one) < 2 for one in shapes) or len(axes) != 2 or axes[1] not in (-1, -2):
        yield odd(row, "contracted", "an axis of each of two matrices")
    elif shapes[0][axes[0]] != shapes[1][axes[1]]:
        yield odd(row, "contracted", "axes of one size")
    elif shape_of(row)[-1:] != [shapes[1][-1 if axes[1] == -2 else -2]]:
        yield odd(row, "shape", "the other axis of the second matrix at its end")


def _check_constant(row: Fields) -> Iterator[Mismatch]:
    """A stored tensor has its norm from its layer; another has its own, and its largest entry."""
    norm, entry = row.optional_number("offset_upper"), row.optional_number("entry_cap_upper")
    if row.get("layer") is not None:
        if norm is not None or entry is not None:
            yield odd(row, "offset_upper", "none beside a layer")
        return
    root = math.sqrt(math.prod(shape_of(row)))
    if (norm or 0.0) > 0 and (entry is None or (norm or 0.0) > entry * root * (1 + _ROUNDING)):
        yield odd(row, "entry_cap_upper", f"at least {norm} over the root of the entries")


def _axis(row: Fields) -> int | None:
    return None if row.get("token_axis") is None else row.count("token_axis")


def shape_of(row: Fields) -> list[float]:
    """The shape of a node's value; empty where it is not on record."""
    return row.numbers("shape") if "shape" in row.values else []


def entries_of(row: Fields) -> float | None:
    """Entries of a node's value; None where its shape is not on record."""
    shape = shape_of(row)
    return math.prod(shape) if shape else None


def is_rounded_up(found: float, expected: float) -> bool:
    """Whether a number is another one, but for rounding."""
    return expected * (1 - _ROUNDING) <= found <= expected * (1 + _ROUNDING)


def odd(row: Fields, name: str, expected: str) -> Mismatch:
    """A field that is not what its node can have."""
    return Mismatch(where=row.path(name), recorded=row.get(name), recomputed=expected)
