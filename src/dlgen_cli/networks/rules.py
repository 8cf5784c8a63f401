"""What each operation does to norms and to distances: one rule for each operation.

An operation without a rule is never skipped: `apply_rule` raises and names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from dlgen_cli.networks import input_maps, pooling
from dlgen_cli.networks.activations import pointwise
from dlgen_cli.networks.calls import Activation, Call, NoRuleError
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.records import GraphNode

_ATTENTION = "it multiplies activations with each other (attention): no finite Lipschitz constant"
_NORMALIZATION = "it divides by a statistic of its own input: no rule"
_RANDOM = "it is random in evaluation mode too"
_LEARNED = "its slope is a trained parameter that no layer accounts for"
_SOFTMAX = "softmax has no rule"
#: Why an operation has no rule, where more can be said than that it has none.
_REASONS: Mapping[str, str] = {
    "multiheadattention": _ATTENTION,
    "scaleddotproductattention": _ATTENTION,
    "matmul": _ATTENTION,
    "bmm": _ATTENTION,
    "einsum": _ATTENTION,
    "baddbmm": _ATTENTION,
    "layernorm": _NORMALIZATION,
    "rmsnorm": _NORMALIZATION,
    "groupnorm": _NORMALIZATION,
    "instancenorm1d": _NORMALIZATION,
    "instancenorm2d": _NORMALIZATION,
    "instancenorm3d": _NORMALIZATION,
    "localresponsenorm": _NORMALIZATION,
    "normalize": _NORMALIZATION,
    "prelu": _LEARNED,
    "rrelu": _RANDOM,
    "softmax": _SOFTMAX,
    "logsoftmax": _SOFTMAX,
}


def apply_rule(call: Call) -> GraphNode:
    """The node of a call.

    Args:
        call: anything but a layer with weights.

    Raises:
        NoRuleError: there is no rule for it; the message says why.
    """
    rule = _RULES.get(call.operation)
    if rule is not None:
        return rule(call)
    function = pointwise(call)
    if function is None:
        raise NoRuleError(reason_without_rule(call.operation))
    root = root_upper(call.only().entries)
    largest, spread = function.largest_upper, function.spread_upper
    return call.becomes(
        "lipschitz",
        factor_upper=function.slope_upper,
        offset_upper=_product_upper(function.at_zero_upper, root),
        cap_upper=None if largest is None else _product_upper(largest, root),
        spread_upper=None if spread is None else _product_upper(spread, root),
    )


def reason_without_rule(operation: str) -> str:
    """Why there is no rule for an operation."""
    if operation in _REASONS:
        return _REASONS[operation]
    return _ATTENTION if "attention" in operation else f"{operation} has no rule"


def _product_upper(left: float, right: float) -> float:
    product = left * right
    return product if Fraction(product) >= Fraction(left) * Fraction(right) else _next(product)


def _next(number: float) -> float:
    return math.nextafter(number, math.inf)


def _rearrange(call: Call) -> GraphNode:
    """Each entry is kept at most once, as it is."""
    call.only()
    if any(type(one).__name__ == "dtype" for one in call.args):
        raise NoRuleError("it reads the bits of its input as another type")
    return call.becomes("identity")


def _pick(call: Call) -> GraphNode:
    """Indexing by numbers and slices; by anything else an entry may occur twice."""
    call.only()
    selected = call.args[1]
    if call.activations[0].shape is None:
        return call.becomes("identity")
    for one in selected if isinstance(selected, tuple) else (selected,):
        plain = one is None or one is Ellipsis or isinstance(one, int | slice)
        if not plain or isinstance(one, bool):
            raise NoRuleError("it picks entries by a list or a tensor")
    return call.becomes("identity")


def _repeat(call: Call) -> GraphNode:
    """``expand`` and ``repeat``: each entry the same number of times."""
    copies = Fraction(call.result_entries, call.only().entries)
    return call.becomes("scale", factor_upper=root_upper(copies))


def _drop_out(call: Call) -> GraphNode:
    """Dropout is the identity in evaluation mode."""
    training = call.setting("training", call.kwargs.get("train", True))
    if training and call.setting("p", 0.5) != 0:
        raise NoRuleError("dropout is active in evaluation mode")
    return _rearrange(call)


def _pad(call: Call) -> GraphNode:
    """Zeros around a map; a negative width cuts off."""
    if call.setting("mode", "constant") != "constant" or call.setting("value", None):
        raise NoRuleError("it pads with something else than zeros")
    return _rearrange(call)


def _concatenate(call: Call) -> GraphNode:
    if call.constants:
        raise NoRuleError(f"it uses the tensor {call.constants[0].label} directly")
    if any(one.shape is None for one in call.activations):
        raise NoRuleError("it joins a tuple of tensors that is not taken apart")
    return call.becomes("concat")


def _add(call: Call) -> GraphNode:
    """``a + alpha b`` and ``a - alpha b``, branches or numbers, with broadcasting."""
    if call.constants:
        raise NoRuleError(f"it uses the tensor {call.constants[0].label} directly")
    second = call.args[1] if len(call.args) > 1 else call.kwargs.get("other")
    terms = ((call.args[0], 1), (second, call.kwargs.get("alpha", 1)))
    branches = [(one, weight) for one, weight in terms if isinstance(one, Activation)]
    numbers = [one * weight for one, weight in terms if isinstance(one, int | float)]
    if len(branches) + len(numbers) != 2:
        raise NoRuleError("it adds something else than activations and numbers")
    coefficients = tuple(
        _product_upper(abs(weight), _copies(branch, call)) for branch, weight in branches
    )
    if not numbers:
        return call.becomes("sum", coefficients_upper=coefficients)
    return call.becomes(
        "lipschitz",
        factor_upper=coefficients[0],
        offset_upper=_product_upper(abs(numbers[0]), root_upper(call.result_entries)),
    )


def _copies(branch: Activation, call: Call) -> float:
    """Norm of broadcasting a branch to the shape of the result."""
    return root_upper(Fraction(call.result_entries, branch.entries))


def _multiply(call: Call) -> GraphNode:
    """A branch times a number."""
    if len(call.activations) > 1:
        raise NoRuleError(
            "it multiplies two activations with each other (as squeeze-and-excitation and "
            "gates do): no finite Lipschitz constant"
        )
    return call.becomes("scale", factor_upper=abs(_number_beside(call)))


def _divide(call: Call) -> GraphNode:
    """A branch divided by a number."""
    if len(call.activations) > 1 or not isinstance(call.args[0], Activation):
        raise NoRuleError("it divides by an activation: no finite Lipschitz constant")
    divisor = Fraction(abs(_number_beside(call)))
    if divisor == 0 or call.kwargs.get("rounding_mode"):
        raise NoRuleError("it divides by zero or rounds: no finite Lipschitz constant")
    factor = float(1 / divisor)
    exact = Fraction(factor) >= 1 / divisor
    return call.becomes("scale", factor_upper=factor if exact else _next(factor))


def _number_beside(call: Call) -> float:
    call.only()
    others = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, int | float)]
    if len(others) != 1 or not math.isfinite(others[0]):
        raise NoRuleError("its factor is no finite number")
    return float(others[0])


_REARRANGING = (
    "identity",
    "flatten",
    "unflatten",
    "view",
    "reshape",
    "squeeze",
    "unsqueeze",
    "permute",
    "transpose",
    "movedim",
    "contiguous",
    "clone",
    "detach",
    "float",
    "double",
    "chunk",
    "split",
    "tensorsplit",
    "unbind",
    "narrow",
    "select",
    "roll",
    "flip",
    "fliplr",
    "flipud",
    "rot90",
    "ravel",
    "hsplit",
    "vsplit",
    "neg",
    "pixelshuffle",
    "pixelunshuffle",
    "channelshuffle",
    "zeropad1d",
    "zeropad2d",
    "zeropad3d",
)
_DROPOUTS = (
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alphadropout",
    "featurealphadropout",
    "stochasticdepth",
)
_RULES: Mapping[str, Callable[[Call], GraphNode]] = {
    **dict.fromkeys(_REARRANGING, _rearrange),
    **dict.fromkeys(_DROPOUTS, _drop_out),
    **dict.fromkeys(("avgpool1d", "avgpool2d", "avgpool3d"), pooling.average_pool),
    **dict.fromkeys(("maxpool1d", "maxpool2d", "maxpool3d"), pooling.max_pool),
    **{f"adaptiveavgpool{axes}d": pooling.adaptive_average_pool for axes in (1, 2, 3)},
    **{f"adaptivemaxpool{axes}d": pooling.adaptive_max_pool for axes in (1, 2, 3)},
    **dict.fromkeys(("interpolate", "upsample"), input_maps.resize),
    "fixednormalization": input_maps.normalize_by_constants,
    "rownormalization": input_maps.normalize_rows,
    "mean": pooling.mean_over_entries,
    "sum": pooling.sum_over_entries,
    "getitem": _pick,
    "expand": _repeat,
    "repeat": _repeat,
    "pad": _pad,
    "cat": _concatenate,
    "stack": _concatenate,
    "hstack": _concatenate,
    "vstack": _concatenate,
    "add": _add,
    "sub": _add,
    "mul": _multiply,
    "div": _divide,
}
