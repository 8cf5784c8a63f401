"""The operations of ONNX, as calls of torch's modules and functions.

Sizes, axes and single numbers are computed beforehand, so that a reshape has the size that it
takes. A step whose operation or arguments are not in this table is left without a rule, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from dlgen_cli.checkpoints.program import Step
from dlgen_cli.networks.programs import onnx_numbers as numbers
from dlgen_cli.networks.programs import onnx_rules as rules
from dlgen_cli.networks.programs import onnx_windows as windows
from dlgen_cli.networks.programs.onnx_builder import OnnxBuilder


def add_step(build: OnnxBuilder, step: Step) -> None:
    """Translate one step.

    Args:
        build: what the module is built with.
        step: of the dialect ``onnx``.
    """
    if build.is_done(step):
        return
    rule = _RULES.get(step.operation)
    if numbers.compute(build, step) or (rule is not None and rule(build, step)):
        return
    build.unknown(step)


_Rule = Callable[[OnnxBuilder, Step], bool]


def _plain(function: Callable[..., Any] | str, **attributes: str) -> _Rule:
    """A call with the same inputs; of attributes, those that are named, by torch's names."""

    def rule(build: OnnxBuilder, step: Step) -> bool:
        given = {
            to: step.arguments[name] for name, to in attributes.items() if name in step.arguments
        }
        build.call(step.results[:1], function, *build.inputs(step), **given)
        return True

    return rule


def _with_default(function: Callable[..., Any], name: str, to: str, default: float | str) -> _Rule:
    """A function of one input with one setting, whose default is not torch's."""

    def rule(build: OnnxBuilder, step: Step) -> bool:
        given = {to: step.arguments.get(name, default)}
        build.call(step.results, function, *build.inputs(step), **given)
        return True

    return rule


_RULES: Mapping[str, _Rule] = {
    "Conv": partial(windows.convolution, transposed=False),
    "ConvTranspose": partial(windows.convolution, transposed=True),
    "Gemm": rules.general_product,
    "MatMul": rules.product,
    "BatchNormalization": rules.batch_norm,
    "LayerNormalization": rules.layer_norm,
    "InstanceNormalization": rules.instance_norm,
    "GroupNormalization": rules.group_norm,
    "RMSNormalization": rules.rms_norm,
    "SimplifiedLayerNormalization": rules.rms_norm,
    "com.microsoft.SimplifiedLayerNormalization": rules.rms_norm,
    "PRelu": rules.prelu,
    "Relu": _plain(torch.relu),
    "LeakyRelu": _with_default(functional.leaky_relu, "alpha", "negative_slope", 0.01),
    "Elu": _with_default(functional.elu, "alpha", "alpha", 1.0),
    "Celu": _with_default(functional.celu, "alpha", "alpha", 1.0),
    "Gelu": _with_default(functional.gelu, "approximate", "approximate", "none"),
    "Selu": rules.selu,
    "Softplus": _plain(functional.softplus),
    "Softsign": _plain(functional.softsign),
    "Sigmoid": _plain(torch.sigmoid),
    "HardSigmoid": rules.hard_sigmoid,
    "HardSwish": _plain(functional.hardswish),
    "Mish": _plain(functional.mish),
    "Tanh": _plain(torch.tanh),
    "Erf": _plain(torch.erf),
    "Abs": _plain(torch.abs),
    "Neg": _plain(torch.neg),
    "Exp": _plain(torch.exp),
    "Log": _plain(torch.log),
    "Sqrt": _plain(torch.sqrt),
    "Reciprocal": _plain(torch.reciprocal),
    "Sin": _plain(torch.sin),
    "Cos": _plain(torch.cos),
    "Floor": _plain(torch.floor),
    "Ceil": _plain(torch.ceil),
    "Not": _plain(torch.logical_not),
    "Clip": rules.clip,
    "Pow": _plain(torch.pow),
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Div": _plain(torch.div),
    "Sum": rules.total,
    "Max": rules.folded(torch.maximum),
    "Min": rules.folded(torch.minimum),
    "And": _plain(torch.logical_and),
    "Or": _plain(torch.logical_or),
    "Equal": _plain(torch.eq),
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "Where": _plain(torch.where),
    "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool,
    "GlobalAveragePool": windows.global_pool(torch.mean),
    "GlobalMaxPool": windows.global_pool(torch.amax),
    "ReduceMean": rules.reduce(torch.mean),
    "ReduceSum": rules.reduce(torch.sum),
    "ReduceMax": rules.reduce(torch.amax),
    "ReduceL2": rules.reduce(torch.linalg.vector_norm),
    "Softmax": rules.softmax(torch.softmax),
    "LogSoftmax": rules.softmax(torch.log_softmax),
    "Flatten": rules.flatten,
    "Reshape": rules.reshape,
    "Transpose": rules.transpose,
    "Concat": rules.concatenate,
    "Slice": rules.slice_of,
    "Split": rules.split,
    "Squeeze": rules.squeeze,
    "Unsqueeze": rules.unsqueeze,
    "Gather": rules.gather,
    "Expand": rules.expand,
    "Tile": rules.tile,
    "Identity": rules.alias,
    "Dropout": rules.drop_out,
    "Cast": rules.cast,
    "CastLike": rules.alias,
    "Shape": rules.shape_of,
    "ConstantOfShape": rules.constant_of_shape,
    "Range": _plain(torch.arange),
    "Trilu": rules.triangle,
    "Pad": windows.pad,
    "Resize": windows.resize,
    "DepthToSpace": windows.depth_to_space,
    "Einsum": rules.einsum,
}
