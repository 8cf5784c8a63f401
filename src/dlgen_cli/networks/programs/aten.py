"""The operations of ``torch.export``, as calls of torch's modules and functions.

A step whose operation or arguments are not in this table is left without a rule, and named. Types
of real numbers are all read as one: the network that is audited is the one of exact arithmetic.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from dlgen_cli.checkpoints.program import Step
from dlgen_cli.networks.programs import aten_rules as rules
from dlgen_cli.networks.programs import layers
from dlgen_cli.networks.programs.module import Builder


def add_step(build: Builder, step: Step) -> None:
    """Translate one step.

    Args:
        build: what the module is built with.
        step: of the dialect ``aten``.
    """
    name = step.operation.removeprefix("aten.")
    if step.operation in _NUMBERS:
        build.call(step.results, _NUMBERS[step.operation], *step.arguments.values())
        return
    if not step.operation.startswith("aten.") or name.startswith(_CHECKS):
        if step.results:
            build.unknown(step)
        return
    plain = name.partition(".")[0]
    is_in_place = plain.endswith("_")
    rule = _RULES.get(name) or _RULES.get(plain)
    if rule is None and is_in_place:
        rule = _IN_PLACE.get(plain)
    if rule is None or not rule(build, step):
        build.unknown(step)


#: Checks of shapes and ranges, which compute nothing.
_CHECKS = ("_assert", "sym_constrain_range", "_check")
#: Arithmetic of sizes.
_NUMBERS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
}


_WINDOW = "self kernel_size stride padding"
_POINTWISE: Mapping[str, Callable[..., Any]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "neg": torch.neg,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "square": torch.square,
    "selu": torch.selu,
    "sign": torch.sign,
    "logical_not": torch.logical_not,
    "isnan": torch.isnan,
    "silu": functional.silu,
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "relu6": functional.relu6,
    "log_sigmoid": functional.logsigmoid,
}
_COMPARISONS = (
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "bitwise_and",
    "bitwise_or",
)
_RESIZES = {
    "upsample_linear1d": "linear",
    "upsample_bilinear2d": "bilinear",
    "upsample_trilinear3d": "trilinear",
    "upsample_bicubic2d": "bicubic",
    "_upsample_bilinear2d_aa": "bilinear",
    "_upsample_bicubic2d_aa": "bicubic",
    **{f"upsample_nearest{axes}d": "nearest" for axes in (1, 2, 3)},
    **{f"_upsample_nearest_exact{axes}d": "nearest-exact" for axes in (1, 2, 3)},
}
_RULES: Mapping[str, rules.Rule] = {
    **{name: rules.plain(function, "self") for name, function in _POINTWISE.items()},
    **{name: rules.plain(getattr(torch, name), "self other") for name in _COMPARISONS},
    **{f"conv{axes}d": layers.convolution for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": layers.transposed_convolution for axes in (1, 2, 3)},
    "convolution": layers.any_convolution,
    "linear": layers.linear,
    "addmm": layers.addmm,
    "mm": layers.product,
    "matmul": layers.product,
    "t": layers.transpose,
    "permute": layers.transpose,
    "transpose.int": layers.transpose,
    "batch_norm": layers.batch_norm,
    "_native_batch_norm_legit_no_training": layers.batch_norm,
    "native_batch_norm": layers.batch_norm,
    "layer_norm": layers.layer_norm,
    "native_layer_norm": layers.layer_norm,
    "group_norm": layers.group_norm,
    "native_group_norm": layers.group_norm,
    "rms_norm": layers.rms_norm,
    "_fused_rms_norm": layers.rms_norm,
    "embedding": layers.embedding,
    "prelu": layers.prelu,
    "scaled_dot_product_attention": rules.attend,
    "_scaled_dot_product_flash_attention_for_cpu": rules.attend,
    "bmm": rules.plain(torch.bmm, "self mat2"),
    "baddbmm": rules.plain(torch.baddbmm, "self batch1 batch2", "beta alpha"),
    "einsum": layers.einsum,
    "glu": rules.gate,
    "gelu": rules.plain(functional.gelu, "self", "approximate"),
    "hardtanh": rules.plain(functional.hardtanh, "self", "min_val max_val"),
    "leaky_relu": rules.plain(functional.leaky_relu, "self", "negative_slope"),
    "elu": rules.plain(functional.elu, "self", "alpha"),
    "celu": rules.plain(functional.celu, "self", "alpha"),
    "softplus": rules.plain(functional.softplus, "self", "beta threshold"),
    "softshrink": rules.plain(functional.softshrink, "self", "lambd"),
    "clamp": rules.plain(torch.clamp, "self", "min max"),
    "clamp_min": rules.plain(torch.clamp, "self", "min"),
    "clamp_max": rules.plain(torch.clamp, "self", "max"),
    "softmax.int": rules.plain(torch.softmax, "self dim"),
    "_softmax": rules.plain(torch.softmax, "self dim"),
    "log_softmax.int": rules.plain(torch.log_softmax, "self dim"),
    "_log_softmax": rules.plain(torch.log_softmax, "self dim"),
    "avg_pool1d": rules.plain(functional.avg_pool1d, f"{_WINDOW} ceil_mode count_include_pad"),
    **{
        f"avg_pool{axes}d": rules.plain(
            getattr(functional, f"avg_pool{axes}d"),
            f"{_WINDOW} ceil_mode count_include_pad divisor_override",
        )
        for axes in (2, 3)
    },
    **{
        f"max_pool{axes}d{ending}": rules.plain(
            getattr(torch, f"max_pool{axes}d"), f"{_WINDOW} dilation ceil_mode", single=True
        )
        for axes in (1, 2, 3)
        for ending in ("", "_with_indices")
    },
    **{
        f"{start}adaptive_avg_pool{axes}d": rules.plain(
            getattr(functional, f"adaptive_avg_pool{axes}d"), "self output_size"
        )
        for axes in (1, 2, 3)
        for start in ("", "_")
    },
    **{
        f"adaptive_max_pool{axes}d": rules.plain(
            getattr(functional, f"adaptive_max_pool{axes}d"), "self output_size", single=True
        )
        for axes in (1, 2, 3)
    },
    "mean.dim": rules.plain(torch.mean, "self", "dim keepdim"),
    "sum.dim_IntList": rules.plain(torch.sum, "self", "dim keepdim"),
    "amax": rules.plain(torch.amax, "self", "dim keepdim"),
    "linalg_vector_norm": rules.plain(torch.linalg.vector_norm, "self", "ord dim keepdim"),
    "add": rules.plain(torch.add, "self other", "alpha"),
    "sub": rules.plain(torch.sub, "self other", "alpha"),
    "rsub": rules.plain(torch.rsub, "self other", "alpha"),
    "mul": rules.plain(torch.mul, "self other"),
    "div": rules.plain(torch.div, "self other", "rounding_mode"),
    "pow.Tensor_Scalar": rules.plain(torch.pow, "self exponent"),
    "pow.Tensor_Tensor": rules.plain(torch.pow, "self exponent"),
    "maximum": rules.plain(torch.maximum, "self other"),
    "minimum": rules.plain(torch.minimum, "self other"),
    "where.self": rules.plain(torch.where, "condition self other"),
    "where.ScalarOther": rules.plain(torch.where, "condition self other"),
    "where.ScalarSelf": rules.plain(torch.where, "condition self other"),
    "masked_fill": rules.plain("masked_fill", "self mask value"),
    "cat": rules.plain(torch.cat, "tensors", "dim"),
    "stack": rules.plain(torch.stack, "tensors", "dim"),
    "split.Tensor": rules.plain(torch.split, "self split_size", "dim"),
    "split_with_sizes": rules.plain(torch.split, "self split_sizes", "dim"),
    "chunk": rules.plain(torch.chunk, "self chunks", "dim"),
    "unbind.int": rules.plain(torch.unbind, "self", "dim"),
    "slice.Tensor": rules.slice_of,
    "select.int": rules.plain(torch.select, "self dim index"),
    "narrow": rules.plain(torch.narrow, "self dim start length"),
    "index.Tensor": rules.pick,
    "index_select": rules.plain(torch.index_select, "self dim index"),
    "gather": rules.plain(torch.gather, "self dim index"),
    "unsqueeze": rules.plain(torch.unsqueeze, "self dim"),
    "squeeze": rules.plain(torch.squeeze, "self dim"),
    "swapaxes": rules.plain(torch.swapaxes, "self axis0 axis1"),
    "movedim": rules.plain(torch.movedim, "self source destination"),
    "view": rules.sized("view", "size"),
    "_unsafe_view": rules.sized("reshape", "size"),
    "reshape": rules.sized("reshape", "shape"),
    "expand": rules.expand,
    "expand_as": rules.plain("expand_as", "self other"),
    "repeat": rules.plain("repeat", "self repeats"),
    "flatten.using_ints": rules.plain(torch.flatten, "self start_dim end_dim"),
    "unflatten.int": rules.plain(torch.unflatten, "self dim sizes"),
    "clone": rules.plain(torch.clone, "self"),
    "contiguous": rules.plain("contiguous", "self"),
    **dict.fromkeys(("alias", "detach", "lift_fresh_copy", "lift_fresh", "detach_"), rules.alias),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "dropout_"), rules.drop_out),
    **dict.fromkeys(
        ("_to_copy", "to.dtype", "to.dtype_layout", "to.device", "to.other"), rules.cast
    ),
    "type_as": rules.plain("type_as", "self other"),
    "pad": rules.plain(functional.pad, "self pad", "mode value"),
    "constant_pad_nd": rules.plain(functional.pad, "self pad", "value"),
    "reflection_pad2d": rules.plain(functional.pad, "self padding", mode="reflect"),
    "replication_pad2d": rules.plain(functional.pad, "self padding", mode="replicate"),
    **{
        f"{name}{ending}": rules.resize(mode, antialias=name.endswith("_aa"))
        for name, mode in _RESIZES.items()
        for ending in ("", ".vec")
    },
    "pixel_shuffle": rules.plain(torch.pixel_shuffle, "self upscale_factor"),
    "pixel_unshuffle": rules.plain(torch.pixel_unshuffle, "self downscale_factor"),
    "channel_shuffle": rules.plain(torch.channel_shuffle, "self groups"),
    "roll": rules.plain(torch.roll, "self shifts dims"),
    "flip": rules.plain(torch.flip, "self dims"),
    "diff": rules.plain(torch.diff, "self n dim", "prepend append"),
    "__and__": rules.plain(torch.bitwise_and, "self other"),
    "__or__": rules.plain(torch.bitwise_or, "self other"),
    "bitwise_not": rules.plain(torch.bitwise_not, "self"),
    "cumsum": rules.plain(torch.cumsum, "self dim"),
    "tril": rules.plain(torch.tril, "self diagonal"),
    "triu": rules.plain(torch.triu, "self diagonal"),
    "sym_size.int": rules.size_of,
    "full": rules.filled(None),
    "full_like": rules.filled(None),
    **dict.fromkeys(("zeros", "new_zeros", "zeros_like"), rules.filled(0.0)),
    **dict.fromkeys(("ones", "new_ones", "ones_like"), rules.filled(1.0)),
    **dict.fromkeys(("arange", "arange.start", "arange.start_step"), rules.range_of),
    "scalar_tensor": rules.plain(torch.scalar_tensor, "s"),
}
#: Calls that write on their first argument.
_IN_PLACE: Mapping[str, rules.Rule] = {
    **{
        f"{name}_": rules.plain(function, "self", inplace=True)
        for name, function in _POINTWISE.items()
        if function in vars(functional).values() and name != "log_sigmoid"
    },
    **{
        f"{name}_": rules.plain(f"{name}_", "self")
        for name in ("relu", "sigmoid", "tanh", "abs", "neg")
    },
    "hardtanh_": rules.plain(functional.hardtanh, "self", "min_val max_val", inplace=True),
    "leaky_relu_": rules.plain(functional.leaky_relu, "self", "negative_slope", inplace=True),
    "elu_": rules.plain(functional.elu, "self", "alpha", inplace=True),
    "celu_": rules.plain(functional.celu, "self", "alpha", inplace=True),
    "clamp_": rules.plain("clamp_", "self", "min max"),
    "clamp_min_": rules.plain("clamp_", "self", "min"),
    "add_": rules.plain("add_", "self other", "alpha"),
    "sub_": rules.plain("sub_", "self other", "alpha"),
    "mul_": rules.plain("mul_", "self other"),
    "div_": rules.plain("div_", "self other"),
    "masked_fill_": rules.plain("masked_fill_", "self mask value"),
    "zero_": rules.plain("zero_", "self"),
    "copy_": rules.plain("copy_", "self src"),
    "fill_": rules.plain("fill_", "self value"),
}
