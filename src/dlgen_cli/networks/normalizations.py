"""Normalizations by statistics of their own input: how steep they are, and how large a value is.

Layer normalization takes a group of g entries to ``u = (x - mean) / sqrt(var + epsilon)``. Its
Jacobian is ``(P - u u^T / g) / sqrt(var + epsilon)``, where P takes off the mean. As u has the mean
0 and ``||u||^2 = g var / (var + epsilon) <= g``, the middle is a symmetric matrix between 0 and the
identity: the map is ``1/sqrt(epsilon)``-Lipschitz, and ``||u|| <= sqrt(g)``. Without taking off the
mean (RMS) the same holds with P the identity. Group and instance normalization are layer
normalization over other groups.

``x / max(||x||, epsilon)`` is the projection to the ball of radius epsilon, divided by epsilon:
``1/epsilon``-Lipschitz, of norm 1 at most.

Local response normalization, ``y_i = x_i s_i^-beta`` with ``s_i = k + (alpha/n) sum x_j^2`` over n
neighbours, has the Jacobian ``D - M``, D diagonal with entries of at most ``k^-beta`` and
``M_ij = 2 beta (alpha/n) x_i x_j s_i^(-beta - 1)``. No entry of M exceeds ``2 beta k^-beta``, and a
row or column has at most n that are not 0: the norm of M is at most n times that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch

from dlgen_cli.networks.calls import Call, NoRuleError
from dlgen_cli.networks.graph import Normalization
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.networks.token_axes import from_end, is_axis
from dlgen_cli.records import GraphNode

FORMS = {
    "layernorm": "layer_norm",
    "rmsnorm": "rms_norm",
    "groupnorm": "group_norm",
    "instancenorm": "instance_norm",
    "instancenorm1d": "instance_norm",
    "instancenorm2d": "instance_norm",
    "instancenorm3d": "instance_norm",
}


def read_normalization(call: Call) -> Normalization | None:
    """What a call normalizes; None where it is no normalization of this kind.

    Raises:
        NoRuleError: its statistics are stored ones, or epsilon is not above 0.
    """
    form = FORMS.get(call.operation)
    if form is None:
        return None
    epsilon = call.setting("eps", 1e-5 if form != "rms_norm" else None)
    if epsilon is None:
        epsilon = torch.finfo(torch.float32).eps
    if not epsilon > 0:
        raise NoRuleError("it divides by a statistic without an epsilon: no finite constant")
    shape = call.setting("normalized_shape", ())
    if form == "instance_norm":
        tracks = call.setting("track_running_stats", default=False)
        if tracks or not call.setting("use_input_stats", default=True):
            raise NoRuleError("instance normalization with stored statistics has no rule")
    return Normalization(
        form=form,  # type: ignore[arg-type]  # a value of FORMS
        epsilon=float(epsilon),
        axes=len(shape) if isinstance(shape, Sequence) and shape else 1,
        groups=int(call.setting("num_groups", 1)),
    )


def facts(call: Call, how: Normalization) -> dict[str, Any]:
    """The facts of the node, before its factors and shifts."""
    shape = call.result_shape or ()
    match how.form:
        case "layer_norm" | "rms_norm":
            group = math.prod(shape[-how.axes :])
        case "group_norm":
            group = math.prod(shape[1:]) // how.groups
        case "instance_norm":
            group = math.prod(shape[2:])
    is_token = how.form in {"layer_norm", "rms_norm"} and how.axes == 1
    return {
        "factor_upper": inverse_root_upper(how.epsilon),
        "cap_upper": root_upper(math.prod(shape)),
        "token_axis": -1 if is_token else None,
        "token_cap_upper": root_upper(group) if is_token else None,
        "entry_cap_upper": root_upper(group),
    }


def inverse_root_upper(number: float) -> float:
    """``1 / sqrt(number)``, rounded upward, and at least 1, which covers any larger epsilon."""
    return max(1.0, root_upper(1 / Fraction(number)))


def normalize(call: Call) -> GraphNode:
    """Layer, RMS, group and instance normalization without factors and shifts of their own."""
    how = read_normalization(call)
    if how is None:
        raise NoRuleError(f"{call.operation} has no rule")
    call.only()
    return call.becomes("normalization", **facts(call, how))


def scale_to_unit(call: Call) -> GraphNode:
    """``functional.normalize`` in the 2-norm along one axis."""
    first, order, axis = call.only(), call.setting("p", 2.0), call.setting("dim", 1)
    epsilon = call.setting("eps", 1e-12)
    if order != 2 or not isinstance(axis, int) or first.shape is None:
        raise NoRuleError("it normalizes in another norm than the 2-norm, or along several axes")
    if not epsilon > 0:
        raise NoRuleError("it divides by a norm without an epsilon: no finite constant")
    axis = from_end(axis, len(first.shape))
    if not is_axis(call, axis):
        raise NoRuleError("it normalizes along the batch")
    groups = math.prod(call.example_shape) // call.example_shape[axis]
    factor = float(1 / Fraction(epsilon))
    return call.becomes(
        "normalization",
        factor_upper=max(1.0, math.nextafter(factor, math.inf)),
        cap_upper=root_upper(groups),
        token_axis=axis,
        token_cap_upper=1.0,
        entry_cap_upper=1.0,
    )


def norm(call: Call) -> GraphNode:
    """The 2-norm over axes: it moves no further than its group, and has ``sqrt(n)`` entries' size.

    ``| ||x|| - ||y|| | <= ||x - y||`` for each group; over all of them the same in the 2-norm.
    """
    first, order = call.only(), call.setting("p" if call.operation == "norm" else "ord", 2)
    if first.shape is None or order not in {None, 2, "fro"}:
        raise NoRuleError("a norm other than the 2-norm has no rule")
    count = first.entries // max(1, call.result_entries)
    return call.becomes("scale", factor_upper=1.0, entry_factor_upper=root_upper(count))


def local_response(call: Call) -> GraphNode:
    """``local_response_norm`` over neighbouring channels."""
    call.only()
    size = int(call.setting("size", 1))
    beta, shift = float(call.setting("beta", 0.75)), float(call.setting("k", 1.0))
    if shift <= 0 or beta < 0 or call.setting("alpha", 1e-4) < 0:
        raise NoRuleError("its divisor is not bounded away from zero")
    factor = shift**-beta * (1 + 2 * beta * size)
    return call.becomes("normalization", factor_upper=max(1.0, factor * (1 + 2.0**-40)))
