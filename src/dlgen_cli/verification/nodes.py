"""What the operation of a node says of its facts: nothing else makes a bound smaller unseen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.verification.comparison import Mismatch
from dlgen_cli.verification.token_facts import check_tokens, entries_of, is_rounded_up, odd

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
        "sin": (1.0, 0.0, 1.0, 2.0),
        "cos": (1.0, 1.0, 1.0, 2.0),
        "atan": (1.0, 0.0, 1.5707964, 3.1415927),
        "erf": (1.1283792, 0.0, 1.0, 2.0),
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
        "rrelu": (1.0, False),
        "logsoftmax": (2.0, False),
        "add": (1.0, False),
        "sub": (1.0, False),
        "maximum": (1.0, False),
        "minimum": (1.0, False),
        "where": (1.0, False),
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
        "sum": ("add", "sub", "maximum", "minimum", "where"),
        "max_pool": (
            *(f"{how}maxpool{axes}d" for how in ("", "adaptive") for axes in (1, 2, 3)),
            "amax",
            "amin",
        ),
        "embedding": ("embedding",),
        "prelu": ("prelu",),
        "exp": ("exp",),
        "product": ("mul", "pow", "square"),
        "matmul": ("matmul", "einsum"),
        "softmax": ("softmax", "softmin", "softmax2d"),
        "attention": ("scaleddotproductattention",),
        "constant": ("constant",),
        "normalization": (
            *("layer_norm", "rms_norm", "group_norm", "instance_norm"),
            *("layernorm", "rmsnorm", "groupnorm", "instancenorm"),
            *(f"instancenorm{axes}d" for axes in (1, 2, 3)),
            *("normalize", "localresponsenorm"),
        ),
    }
)
#: Fields that a node leaves at their defaults, by kind; the others leave all of `_PLAIN`.
_PLAIN = (
    "cap_upper",
    "spread_upper",
    "factor_upper",
    "offset_upper",
    "coefficients_upper",
    "token_factor_upper",
    "entry_factor_upper",
    "token_cap_upper",
    "entry_cap_upper",
    "contracted",
)
_OWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sum": ("coefficients_upper",),
        "scale": ("factor_upper", "offset_upper", "token_factor_upper", "entry_factor_upper"),
        "max_pool": ("factor_upper",),
        "matmul": ("contracted",),
        "attention": ("factor_upper",),
        "constant": ("offset_upper", "entry_cap_upper"),
        "normalization": ("factor_upper", "cap_upper", "token_cap_upper", "entry_cap_upper"),
    }
)
#: Layers whose rows are an axis of their output.
_AXES = ("linear", "diagonal", *(f"conv{axes}d" for axes in (1, 2, 3)))


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
    network = terms.fields("network")
    yield from _check_shapes(network)
    seen: dict[str, Fields] = {}
    for row in network.rows("nodes"):
        kind, operation = row.text("kind"), row.text("operation")
        before = [seen[one] for one in row.values.get("inputs") or () if one in seen]
        seen[row.text("name")] = row
        allowed = _KINDS.get(kind)
        if allowed is not None and operation not in allowed:
            yield odd(row, "operation", f"one of {', '.join(allowed)}")
        elif allowed is None and kind != "lipschitz" and _is_of_another_kind(operation):
            yield odd(row, "kind", f"that of {operation}")
        if kind == "lipschitz":
            yield from _check_pointwise(row, gamma)
        else:
            own = _OWN.get(kind, ())
            yield from _plain(row, tuple(one for one in _PLAIN if one not in own))
        if kind == "sum":
            yield from _check_sum(row, before)
        if kind == "max_pool" and "factor_upper" in row.values and row.number("factor_upper") < 1:
            yield odd(row, "factor_upper", "at least 1")
        yield from check_tokens(row, before)


def _check_shapes(network: Fields) -> Iterator[Mismatch]:
    """A function keeps the entries of its input; the rows of a layer are an axis of its output."""
    rows = {row.text("name"): row.count("rows") for row in network.rows("layers")}
    entries: dict[str, float] = {}
    for node in network.rows("nodes"):
        shape = node.numbers("shape") if "shape" in node.values else []
        entries[node.text("name")] = math.prod(shape)
        before = entries.get(next(iter(node.values.get("inputs") or ()), ""))
        if node.get("kind") == "lipschitz" and math.prod(shape) != before:
            yield odd(node, "shape", f"{before} entries, as many as its input")
        is_matrix = node.get("kind") in {"linear", "diagonal"} and node.get("operation") in _AXES
        layer = rows.get(str(node.get("layer"))) if is_matrix else None
        if shape and layer is not None and layer not in shape:
            yield odd(node, "shape", f"an axis of {layer}, the rows of its layer")


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
            yield odd(row, "factor_upper", f"at least {least}")
        if not has_limits:
            yield from _check_limits(row, None, None)
        return
    root = math.sqrt(math.prod(row.numbers("shape") if "shape" in row.values else []))
    if operation == "rownormalization":
        if not is_rounded_up(slope, max(root / LEAST_NORM, gamma or 0.0)):
            yield odd(row, "factor_upper", f"{root / LEAST_NORM}, or gamma where that is more")
        yield from _check_limits(row, root, 2 * root)
        return
    if operation not in POINTWISE:
        yield odd(row, "operation", "a function that dlgen knows")
        return
    constant, at_zero, largest, spread = POINTWISE[operation]
    if slope != max(constant, gamma or 0.0):
        yield odd(row, "factor_upper", f"{constant}, or gamma where that is more")
    offset = row.number("offset_upper") if "offset_upper" in row.values else 0.0
    if not is_rounded_up(offset, at_zero * root):
        yield odd(row, "offset_upper", f"{at_zero} times {root}, the root of its entries")
    yield from _check_limits(
        row,
        None if largest is None else largest * root,
        None if spread is None else spread * root,
    )


def _check_limits(row: Fields, cap: float | None, spread: float | None) -> Iterator[Mismatch]:
    for name, expected in (("cap_upper", cap), ("spread_upper", spread)):
        found = row.optional_number(name)
        if (found is None) != (expected is None) or (
            found is not None and expected is not None and not is_rounded_up(found, expected)
        ):
            yield odd(row, name, f"{expected}")


def _check_sum(row: Fields, before: Sequence[Fields]) -> Iterator[Mismatch]:
    """The first term counts as often as it is copied to the shape of the sum."""
    count = len(row.texts("inputs"))
    found = row.numbers("coefficients_upper") if "coefficients_upper" in row.values else []
    if len(found) != count or min(found, default=0.0) < 0:
        yield odd(row, "coefficients_upper", f"{count} coefficients")
        return
    entries, own = entries_of(row), entries_of(before[0]) if before else None
    copies = entries / own if entries and own else 1.0
    if not is_rounded_up(found[0], math.sqrt(copies)):
        yield odd(row, "coefficients_upper", f"the first of them the root of {copies:g}")


def _plain(row: Fields, names: tuple[str, ...]) -> Iterator[Mismatch]:
    for name in names:
        if name in row.values:
            yield odd(row, name, f"none for a node of kind {row.text('kind')}")


def _is_of_another_kind(operation: str) -> bool:
    """Whether a kind with rules of its own has this operation, or it is pointwise."""
    named = [name for kind in ("concat", "max_pool") for name in _KINDS[kind]]
    return operation in (*POINTWISE, *_WITH_SETTINGS, *named)
