"""Pointwise functions: Lipschitz constant, value at zero, and range, rounded upward.

The constants of the smooth gates are maxima of their derivative. Each derivative has its
largest magnitude where the second derivative vanishes, to the right of zero; to the left its
magnitude stays below 0.13:

- SiLU ``x s(x)``: ``x tanh(x/2) = 2`` at ``x = 2.39935728...``, slope 1.09983932012...
- GELU ``x Phi(x)``: ``f'' = phi(x) (2 - x^2)``, so ``x = sqrt(2)``, slope 1.12890414518...
- GELU in its tanh form: ``x = 1.41850400...``, slope 1.12899306865...
- Mish ``x tanh(ln(1 + e^x))``: ``x = 1.49057147...``, slope 1.08849816125...
- Hardswish ``x relu6(x + 3) / 6``: the slope ``(2x + 3)/6`` reaches 3/2 at ``x = 3``.

SELU has slope ``scale * alpha = 1.75809934084...`` at zero from the left. Softplus is taken as
``ln(1 + e^(beta x)) / beta``: where ``beta x`` exceeds the threshold of 20, torch returns ``x``,
which is the same within float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dlgen_cli.networks.calls import Call, NoRuleError


@dataclass(frozen=True, slots=True)
class Pointwise:
    """A function of one real number.

    Attributes:
        slope_upper: its Lipschitz constant.
        at_zero_upper: its magnitude at zero.
        largest_upper: supremum of its magnitude; None where it is not bounded.
        spread_upper: supremum minus infimum; None where it is not bounded.
    """

    slope_upper: float
    at_zero_upper: float = 0.0
    largest_upper: float | None = None
    spread_upper: float | None = None


_ONE_LIPSCHITZ = Pointwise(1.0)
#: By the name of the operation.
FIXED: Mapping[str, Pointwise] = {
    "relu": _ONE_LIPSCHITZ,
    "abs": _ONE_LIPSCHITZ,
    "tanhshrink": _ONE_LIPSCHITZ,
    "relu6": Pointwise(1.0, 0.0, 6.0, 6.0),
    "tanh": Pointwise(1.0, 0.0, 1.0, 2.0),
    "softsign": Pointwise(1.0, 0.0, 1.0, 2.0),
    "sigmoid": Pointwise(0.25, 0.5, 1.0, 1.0),
    "hardsigmoid": Pointwise(math.nextafter(1 / 6, 1), 0.5, 1.0, 1.0),
    "hardswish": Pointwise(1.5),
    "silu": Pointwise(1.0998394),
    "mish": Pointwise(1.0884982),
    "selu": Pointwise(1.7580994),
    "logsigmoid": Pointwise(1.0, 0.6931472),
    "sin": Pointwise(1.0, 0.0, 1.0, 2.0),
    "cos": Pointwise(1.0, 1.0, 1.0, 2.0),
    "atan": Pointwise(1.0, 0.0, 1.5707964, 3.1415927),
    "erf": Pointwise(1.1283792, 0.0, 1.0, 2.0),
}
_GELU = {"none": Pointwise(1.1289042), "tanh": Pointwise(1.1289931)}


def pointwise(call: Call) -> Pointwise | None:
    """The facts of an activation function; None where the operation is none.

    Raises:
        NoRuleError: its settings leave the range in which it is Lipschitz.
    """
    with_settings = _WITH_SETTINGS.get(call.operation)
    return with_settings(call) if with_settings else FIXED.get(call.operation)


def _leaky_relu(call: Call) -> Pointwise:
    slope = _number(call, "negative_slope", 0.01)
    return Pointwise(max(1.0, abs(slope)))


def _rrelu(call: Call) -> Pointwise:
    # In evaluation mode the slope below zero is the middle of its range.
    if call.module is None and call.setting("training", default=False):
        raise NoRuleError("it is random in evaluation mode too")
    low, high = _number(call, "lower", 1 / 8), _number(call, "upper", 1 / 3)
    return Pointwise(max(1.0, abs(low), abs(high)))


def _elu(call: Call) -> Pointwise:
    # Slope alpha e^x below zero, 1 above.
    return Pointwise(max(1.0, abs(_number(call, "alpha", 1.0))))


def _celu(call: Call) -> Pointwise:
    # Slope e^(x / alpha) below zero, 1 above.
    if _number(call, "alpha", 1.0) <= 0:
        raise NoRuleError("celu with a negative alpha grows exponentially")
    return _ONE_LIPSCHITZ


def _gelu(call: Call) -> Pointwise:
    return _GELU[call.setting("approximate", "none")]


def _hardtanh(call: Call) -> Pointwise:
    return _clipping(_number(call, "min_val", -1.0), _number(call, "max_val", 1.0))


def _clamp(call: Call) -> Pointwise:
    low, high = (
        infinite if call.setting(name, None) is None else _number(call, name, infinite)
        for name, infinite in (("min", -math.inf), ("max", math.inf))
    )
    return _clipping(low, high)


def _clipping(low: float, high: float) -> Pointwise:
    low = min(low, high)  # where they cross, torch returns high everywhere
    at_zero = abs(min(max(0.0, low), high))
    if math.isinf(low) or math.isinf(high):
        return Pointwise(1.0, at_zero)
    spread = math.nextafter(high - low, math.inf) if high > low else 0.0
    return Pointwise(1.0, at_zero, max(abs(low), abs(high)), spread)


def _softplus(call: Call) -> Pointwise:
    beta = _number(call, "beta", 1.0)
    if beta <= 0 or _number(call, "threshold", 20.0) < 20:
        raise NoRuleError("softplus with a threshold below 20 jumps there")
    return Pointwise(1.0, math.nextafter(0.6931472 / beta, math.inf))


def _softshrink(call: Call) -> Pointwise:
    if _number(call, "lambd", 0.5) < 0:
        raise NoRuleError("softshrink with a negative lambda jumps at zero")
    return _ONE_LIPSCHITZ


def _number(call: Call, name: str, default: float) -> float:
    found: Any = call.setting(name, default)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise NoRuleError(f"{call.operation} takes {name} from a tensor")
    if math.isnan(found):
        raise NoRuleError(f"{call.operation} has {name} NaN")
    return float(found)


_WITH_SETTINGS: Mapping[str, Callable[[Call], Pointwise]] = {
    "leakyrelu": _leaky_relu,
    "rrelu": _rrelu,
    "elu": _elu,
    "celu": _celu,
    "gelu": _gelu,
    "hardtanh": _hardtanh,
    "clamp": _clamp,
    "softplus": _softplus,
    "softshrink": _softshrink,
}
