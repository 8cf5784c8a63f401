"""What each operation does to norms and to distances: one rule for each operation.

An operation without a rule is never skipped: `apply_rule` raises and names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

from dlgen_cli.networks import (
    arithmetic,
    contractions,
    input_maps,
    interpolation,
    normalizations,
    pooling,
    selection,
    written_normalizations,
)
from dlgen_cli.networks.activations import pointwise
from dlgen_cli.networks.arithmetic import product_upper
from dlgen_cli.networks.calls import Call, NoRuleError, function_name
from dlgen_cli.networks.pooling import root_upper
from dlgen_cli.networks.token_axes import is_axis, token_axis
from dlgen_cli.records import GraphNode

#: Why an operation has no rule, where more can be said than that it has none.
_REASONS: Mapping[str, str] = {
    "baddbmm": "it adds a product of matrices to a value in one step: no rule",
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
    first = call.only()
    root = root_upper(first.entries)
    largest, spread = function.largest_upper, function.spread_upper
    return call.becomes(
        "lipschitz",
        factor_upper=function.slope_upper,
        offset_upper=product_upper(function.at_zero_upper, root),
        cap_upper=None if largest is None else product_upper(largest, root),
        spread_upper=None if spread is None else product_upper(spread, root),
        token_axis=first.token_axis,
    )


def reason_without_rule(operation: str) -> str:
    """Why there is no rule for an operation."""
    return _REASONS.get(operation, f"{operation} has no rule")


def _rearrange(call: Call) -> GraphNode:
    """Each entry is kept at most once, as it is."""
    call.only()
    if any(type(one).__name__ == "dtype" for one in call.args):
        raise NoRuleError("it reads the bits of its input as another type")
    return call.becomes("identity", token_axis=token_axis(call))


def _convert(call: Call) -> GraphNode:
    """Another device or another type, of float32 or wider."""
    call.only()
    for one in (*call.args, *call.kwargs.values()):
        if type(one).__name__ == "dtype" and str(one) not in {"torch.float32", "torch.float64"}:
            raise NoRuleError(f"it rounds its input to {one}")
    return call.becomes("identity", token_axis=token_axis(call))


def _pick(call: Call) -> GraphNode:
    """Indexing by numbers and slices, or by lists and tensors that no input changes."""
    first = call.activations[0]
    selected = call.args[1]
    parts = selected if isinstance(selected, tuple | list) else (selected,)
    is_plain = not isinstance(selected, list) and all(
        one is None
        or one is Ellipsis
        or (isinstance(one, int | slice) and not isinstance(one, bool))
        for one in parts
    )
    if first.shape is None or is_plain:
        call.only()
        return call.becomes("identity", token_axis=token_axis(call))
    return selection.by_index(call, selected)


def _repeat(call: Call) -> GraphNode:
    """``expand`` and ``repeat``: each entry the same number of times."""
    first = call.only()
    copies = Fraction(call.result_entries, first.entries)
    axis, before, after = first.token_axis, first.shape or (), call.result_shape or ()
    if axis is not None and (before[axis] != after[axis] or not is_axis(call, axis)):
        axis = None
    return call.becomes(
        "scale",
        factor_upper=root_upper(copies),
        token_factor_upper=None if axis is None else 1.0,
        entry_factor_upper=1.0,
        token_axis=axis,
    )


def _like(call: Call) -> GraphNode:
    """``expand_as``, ``reshape_as`` and the like: nothing but the shape of the other counts."""
    alone = replace(call, args=call.args[:1], kwargs={})
    if call.operation == "expandas":
        return _repeat(alone)
    operation = "to" if call.operation == "typeas" else call.operation.removesuffix("as")
    return _rearrange(replace(alone, operation=operation))


def _drop_out(call: Call) -> GraphNode:
    """Dropout is the identity in evaluation mode."""
    training = call.setting("training", call.kwargs.get("train", True))
    if training and call.setting("p", 0.5) != 0:
        raise NoRuleError("dropout is active in evaluation mode")
    return _rearrange(call)


def _largest(call: Call) -> GraphNode:
    """``amax``, ``max`` over axes, ``topk``, ``sort``, ``median``: entries by their order.

    Sorted values of two groups are no further apart than the groups, in the 2-norm (by the
    rearrangement inequality) and in the largest magnitude: no order statistic moves further than
    some entry. Each result is one of them.
    """
    others = [one for one in call.activations[1:] if one.shape is not None]
    if call.operation in {"max", "min"} and others:
        return arithmetic.pick_between(call)
    call.only()
    return call.becomes("max_pool")


def _attribute(call: Call) -> GraphNode:
    """``x.mT`` and the like, and the parts of what ``max`` and ``sort`` return."""
    first, name = call.args[0], str(call.args[1])
    part = replace(call, args=(first,))
    if name in {"mT", "mH"} or (name in {"T", "H"} and len(first.shape or ()) == 2):
        return _rearrange(replace(part, operation="mt"))
    if name in {"T", "H", "data", "values"}:
        return part.becomes("identity")
    raise NoRuleError(f"its attribute {name} has no rule")


def _exponential(call: Call) -> GraphNode:
    """``exp`` of a value that no input changes: elsewhere the bound would be beyond all use."""
    if not call.only().is_constant:
        raise NoRuleError("exp of an activation has no finite Lipschitz constant")
    return call.becomes("exp")


_REARRANGING = (
    "identity",
    "flatten",
    "unflatten",
    "view",
    "reshape",
    "squeeze",
    "unsqueeze",
    "permute",
    "t",
    "mt",
    "tril",
    "triu",
    "slice",
    "transpose",
    "movedim",
    "contiguous",
    "clone",
    "detach",
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
    "zero",
    "pixelshuffle",
    "pixelunshuffle",
    "channelshuffle",
)
_IN_ORDER = ("amax", "amin", "max", "min", "topk", "sort", "median", "kthvalue", "msort")
_RESIZES = ("interpolate", "upsample", "upsamplingnearest2d", "upsamplingbilinear2d")
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
    **dict.fromkeys(_RESIZES, interpolation.resize),
    **dict.fromkeys(normalizations.FORMS, normalizations.normalize),
    **dict.fromkeys(selection.PADDINGS, selection.pad),
    **dict.fromkeys(("to", "float", "double"), _convert),
    **dict.fromkeys(("maximum", "minimum", "where"), arithmetic.pick_between),
    **dict.fromkeys(("cat", "stack", "hstack", "vstack"), arithmetic.concatenate),
    **dict.fromkeys(("add", "sub", "rsub"), arithmetic.add),
    **dict.fromkeys(("pow", "square"), arithmetic.power),
    **dict.fromkeys(("softmax", "softmin", "softmax2d"), contractions.softmax),
    **dict.fromkeys(_IN_ORDER, _largest),
    **dict.fromkeys(("expand", "repeat", "repeatinterleave", "tile"), _repeat),
    **dict.fromkeys(("expandas", "reshapeas", "viewas", "typeas"), _like),
    "normalize": normalizations.scale_to_unit,
    "localresponsenorm": normalizations.local_response,
    "fixednormalization": input_maps.normalize_by_constants,
    "rownormalization": input_maps.normalize_rows,
    "mean": pooling.mean_over_entries,
    "sum": pooling.sum_over_entries,
    "cumsum": pooling.cumulative_sum,
    "getattr": _attribute,
    **dict.fromkeys(("norm", "linalgvectornorm"), normalizations.norm),
    function_name(written_normalizations.divide_by_deviation)[
        0
    ]: written_normalizations.written_normalization,
    function_name(written_normalizations.divide_by_mean)[
        0
    ]: written_normalizations.written_response,
    "getitem": _pick,
    "index": _pick,
    "indexselect": selection.index_select,
    "maskedfill": selection.masked_fill,
    "unfold": selection.unfold,
    "mul": arithmetic.multiply,
    "div": arithmetic.divide,
    "exp": _exponential,
    "matmul": contractions.matmul,
    "einsum": contractions.einsum,
    "logsoftmax": contractions.log_softmax,
    "scaleddotproductattention": contractions.attention,
}
