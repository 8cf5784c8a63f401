"""What the operation of a node says of its facts: nothing else makes a bound smaller unseen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification.comparison import Mismatch

#: Lipschitz constant, value at zero, largest magnitude and spread of fixed functions, as
#: `dlgen_cli.networks.activations` has them; None where there is no bound.
POINTWISE: Mapping[str, tuple[float, float, float | None, float | None]] = MappingProxyType(
    {
        "relu": (1.0, 0.0, None, None),
        "abs": (1.0, 0.0, None, None),
        "tanhshrink": (1.0, 0.0, None, None),
        "relu6": (1.0, 0.0, 6.0, 6.0),
        "tanh": (1.0, 0.0, 1.0, 2.0),
        "softsign": (1.0, 0.0, 1.0, 2.0),
        "sigmoid": (0.25, 0.5, 1.0, 1.0),
        "hardsigmoid": (math.nextafter(1 / 6, 1), 0.5, 1.0, 1.0),
        "hardswish": (1.5, 0.0, None, None),
        "silu": (1.0998394, 0.0, None, None),
        "mish": (1.0884982, 0.0, None, None),
        "selu": (1.7580994, 0.0, None, None),
        "logsigmoid": (1.0, 0.6931472, None, None),
    }
)
#: Functions whose settings are not on record: the least Lipschitz constant, and whether they have
#: limits.
_WITH_SETTINGS: Mapping[str, tuple[float, bool]] = MappingProxyType(
    {
        "leakyrelu": (1.0, False),
        "elu": (1.0, False),
        "celu": (1.0, False),
        "gelu": (1.1289042, False),
        "softplus": (1.0, False),
        "softshrink": (1.0, False),
        "hardtanh": (1.0, True),
        "clamp": (1.0, True),
        "assumed activation": (0.0, False),
    }
)
#: The least norm that a row is divided by, as `dlgen_cli.architectures.row_normalization` has it.
LEAST_NORM = 1e-6
#: Operations that a node of these kinds may stand for.
_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "input": ("input",),
        "concat": ("cat", "stack", "hstack", "vstack"),
        "sum": ("add", "sub"),
        "max_pool": tuple(f"{how}maxpool{axes}d" for how in ("", "adaptive") for axes in (1, 2, 3)),
    }
)
#: Fields that a node leaves at their defaults, by kind; the others leave all of `_PLAIN`.
_PLAIN = ("cap_upper", "spread_upper", "factor_upper", "offset_upper", "coefficients_upper")
_NONE_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sum": _PLAIN[:4],
        "scale": ("cap_upper", "spread_upper", "coefficients_upper"),
        "max_pool": ("cap_upper", "spread_upper", "offset_upper", "coefficients_upper"),
    }
)
#: How far a product of rounded floats may lie below the exact one.
_ROUNDING = 1e-12


def check_nodes(bound: Fields, report: Fields) -> Iterator[Mismatch]:
    """The facts of every node are those of its operation.

    A pointwise function has the constants of its name times the root of its entries; a sum has
    coefficients, of 1 where no number says otherwise; a node of another kind has neither limits
    nor more of a factor than its kind may have.
    """
    terms = bound.fields("terms")
    if "network" not in terms.values:
        return
    gamma = report.fields("settings").optional_number("gamma")
    yield from _check_shapes(terms.fields("network"))
    for row in terms.fields("network").rows("nodes"):
        kind, operation = row.text("kind"), row.text("operation")
        allowed = _KINDS.get(kind)
        if allowed is not None and operation not in allowed:
            yield _odd(row, "operation", f"one of {', '.join(allowed)}")
        elif allowed is None and kind != "lipschitz" and _is_of_another_kind(operation):
            yield _odd(row, "kind", f"that of {operation}")
        if kind == "lipschitz":
            yield from _check_pointwise(row, gamma)
        else:
            yield from _plain(row, _NONE_OF.get(kind, _PLAIN))
        if kind == "sum":
            yield from _check_sum(row)
        if kind == "max_pool" and "factor_upper" in row.values and row.number("factor_upper") < 1:
            yield _odd(row, "factor_upper", "at least 1")


def _check_shapes(network: Fields) -> Iterator[Mismatch]:
    """A function keeps the entries of its input; the rows of a layer are an axis of its output."""
    rows = {row.text("name"): row.count("rows") for row in network.rows("layers")}
    entries: dict[str, float] = {}
    for node in network.rows("nodes"):
        shape = node.numbers("shape") if "shape" in node.values else []
        entries[node.text("name")] = math.prod(shape)
        before = entries.get(next(iter(node.values.get("inputs") or ()), ""))
        if node.get("kind") == "lipschitz" and math.prod(shape) != before:
            yield _odd(node, "shape", f"{before} entries, as many as its input")
        layer = rows.get(str(node.get("layer")))
        if shape and layer is not None and layer not in shape:
            yield _odd(node, "shape", f"an axis of {layer}, the rows of its layer")


def check_one_network(report: Fields) -> Iterator[Mismatch]:
    """All bounds of a report speak of the same graph."""
    first: object = None
    for bound in report.rows("bounds"):
        terms = bound.fields("terms")
        if "network" not in terms.values:
            continue
        network = terms.fields("network")
        first = network.get("nodes") if first is None else first
        if network.get("nodes") != first:
            yield Mismatch(
                where=network.path("nodes"), recorded="another graph", recomputed="the same graph"
            )


def _check_pointwise(row: Fields, gamma: float | None) -> Iterator[Mismatch]:
    operation = row.text("operation")
    slope = row.number("factor_upper") if "factor_upper" in row.values else 1.0
    if operation in _WITH_SETTINGS:
        least, has_limits = _WITH_SETTINGS[operation]
        if slope < least:
            yield _odd(row, "factor_upper", f"at least {least}")
        if not has_limits:
            yield from _check_limits(row, None, None)
        return
    root = math.sqrt(math.prod(row.numbers("shape") if "shape" in row.values else []))
    if operation == "rownormalization":
        if not _is_rounded_up(slope, max(root / LEAST_NORM, gamma or 0.0)):
            yield _odd(row, "factor_upper", f"{root / LEAST_NORM}, or gamma where that is more")
        yield from _check_limits(row, root, 2 * root)
        return
    if operation not in POINTWISE:
        yield _odd(row, "operation", "a function that dlgen knows")
        return
    constant, at_zero, largest, spread = POINTWISE[operation]
    if slope != max(constant, gamma or 0.0):
        yield _odd(row, "factor_upper", f"{constant}, or gamma where that is more")
    offset = row.number("offset_upper") if "offset_upper" in row.values else 0.0
    if not _is_rounded_up(offset, at_zero * root):
        yield _odd(row, "offset_upper", f"{at_zero} times {root}, the root of its entries")
    yield from _check_limits(
        row,
        None if largest is None else largest * root,
        None if spread is None else spread * root,
    )


def _check_limits(row: Fields, cap: float | None, spread: float | None) -> Iterator[Mismatch]:
    for name, expected in (("cap_upper", cap), ("spread_upper", spread)):
        found = row.optional_number(name)
        if (found is None) != (expected is None) or (
            found is not None and expected is not None and not _is_rounded_up(found, expected)
        ):
            yield _odd(row, name, f"{expected}")


def _check_sum(row: Fields) -> Iterator[Mismatch]:
    count = len(row.texts("inputs"))
    found = row.numbers("coefficients_upper") if "coefficients_upper" in row.values else []
    if len(found) != count or min(found, default=0.0) < 0 or found[0] != 1.0:
        yield _odd(row, "coefficients_upper", f"{count} coefficients, the first of them 1")


def _plain(row: Fields, names: tuple[str, ...]) -> Iterator[Mismatch]:
    for name in names:
        if name in row.values:
            yield _odd(row, name, f"none for a node of kind {row.text('kind')}")


def _is_of_another_kind(operation: str) -> bool:
    """Whether a kind with rules of its own has this operation, or it is pointwise."""
    named = [name for kind in ("concat", "max_pool") for name in _KINDS[kind]]
    return operation in (*POINTWISE, *_WITH_SETTINGS, *named)


def _is_rounded_up(found: float, expected: float) -> bool:
    return expected * (1 - _ROUNDING) <= found <= expected * (1 + _ROUNDING)


def _odd(row: Fields, name: str, expected: str) -> Mismatch:
    return Mismatch(where=row.path(name), recorded=row.get(name), recomputed=expected)
