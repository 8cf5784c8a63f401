"""Steps of a program that hold weights, as torch's modules at the paths of their tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from dlgen_cli.checkpoints.checkpoint import TensorInfo
from dlgen_cli.checkpoints.program import Step, Value
from dlgen_cli.networks.programs.module import Builder, TransposedLinear

_CONVOLUTIONS: tuple[Callable[..., nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED: tuple[Callable[..., nn.Module], ...] = (
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_CONVOLVE = (functional.conv1d, functional.conv2d, functional.conv3d)
_CONVOLVE_BACK = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


def convolution(build: Builder, step: Step) -> bool:
    """``conv1d`` to ``conv3d``."""
    given = dict(step.arguments)
    x, weight, bias = given.pop("input"), given.pop("weight"), given.pop("bias", None)
    return convolve(build, step.results[0], x, weight, bias, given)


def transposed_convolution(build: Builder, step: Step) -> bool:
    """``conv_transpose1d`` to ``conv_transpose3d``."""
    given = dict(step.arguments)
    x, weight, bias = given.pop("input"), given.pop("weight"), given.pop("bias", None)
    return convolve(build, step.results[0], x, weight, bias, given, transposed=True)


def any_convolution(build: Builder, step: Step) -> bool:
    """``convolution`` of the core operations, forward or transposed."""
    given = dict(step.arguments)
    x, weight, bias = given.pop("input"), given.pop("weight"), given.pop("bias", None)
    transposed = bool(given.pop("transposed", False))
    if not transposed and any(given.pop("output_padding", ())):
        return False
    return convolve(build, step.results[0], x, weight, bias, given, transposed=transposed)


def convolve(
    build: Builder,
    result: str,
    x: Any,
    weight: Any,
    bias: Any,
    geometry: dict[str, Any],
    *,
    transposed: bool = False,
) -> bool:
    """A convolution as a module; as a function where its weight is none of its own."""
    kernel, stored_bias = build.stored(weight), build.stored(bias)
    shape = build.shape(weight)
    if shape is None or not 3 <= len(shape) <= 5 or None in shape:
        return False
    axes = len(shape) - 3
    geometry = {key: _each(value, axes + 1) for key, value in geometry.items()}
    groups = geometry.get("groups", 1)
    if kernel is not None and _is_module(build, kernel, stored_bias, bias):
        channels = (shape[0], shape[1] * groups) if transposed else (shape[1] * groups, shape[0])
        make = partial(
            (_TRANSPOSED if transposed else _CONVOLUTIONS)[axes],
            *channels,
            shape[2:],
            bias=bias is not None,
            device="meta",
            **geometry,
        )
        if build.apply(result, kernel, make, x):
            return True
    function = (_CONVOLVE_BACK if transposed else _CONVOLVE)[axes]
    build.call(result, function, x, weight, bias, **geometry)
    return True


def _each(value: Any, axes: int) -> Any:
    """A setting for each axis, where it is a list of one."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(value) * axes if len(value) == 1 else tuple(value)


def _is_module(
    build: Builder, weight: TensorInfo, stored_bias: TensorInfo | None, bias: Any
) -> bool:
    fits = bias is None or stored_bias is not None
    return fits and build.of_one_module(weight=weight, bias=stored_bias)


def linear(build: Builder, step: Step) -> bool:
    """``linear``."""
    given = step.arguments
    multiply(build, step.results[0], given["input"], given["weight"], given.get("bias"))
    return True


def addmm(build: Builder, step: Step) -> bool:
    """``beta c + alpha x W``, as a linear layer where W is a transposed weight."""
    given = step.arguments
    if given.get("beta", 1) != 1 or given.get("alpha", 1) != 1:
        return False
    bias, x, matrix = given["self"], given["mat1"], given["mat2"]
    weight = build.transposed(matrix)
    if weight is not None:
        multiply(build, step.results[0], x, weight, bias)
    elif not _multiply_back(build, step.results[0], x, matrix, bias):
        build.call(step.results, torch.addmm, bias, x, matrix)
    return True


def product(build: Builder, step: Step) -> bool:
    """A matrix product: a linear layer where the second factor is a transposed weight."""
    x, matrix = list(step.arguments.values())[:2]
    weight = build.transposed(matrix)
    if weight is not None:
        multiply(build, step.results[0], x, weight, None)
    elif not _multiply_back(build, step.results[0], x, matrix, None):
        build.call(step.results, torch.matmul, x, matrix)
    return True


def _multiply_back(build: Builder, result: str, x: Any, matrix: Any, bias: Any) -> bool:
    """``x W + c`` with a stored weight that has its inputs first."""
    weight = build.stored(matrix)
    if weight is None or len(weight.shape) != 2 or not build.depends(x):
        return False
    make = partial(TransposedLinear, *weight.shape, bias=bias is not None)
    is_module = _is_module(build, weight, build.stored(bias), bias)
    return is_module and build.apply(result, weight, make, x)


def multiply(build: Builder, result: str, x: Any, weight: Any, bias: Any) -> None:
    """``W x + c`` along the last axis."""
    matrix, shape = build.stored(weight), build.shape(weight)
    if matrix is not None and shape is not None and len(shape) == 2:
        outputs, inputs = matrix.shape
        make = partial(nn.Linear, inputs, outputs, bias=bias is not None, device="meta")
        if _is_module(build, matrix, build.stored(bias), bias) and build.apply(
            result, matrix, make, x
        ):
            return
    named = {} if bias is None else {"bias": bias}
    build.call(result, functional.linear, x, weight, **named)


def transpose(build: Builder, step: Step) -> bool:
    """``t``, ``transpose`` and ``permute``; a transposed weight is remembered as such."""
    given = step.arguments
    source, shape = given["self"], build.shape(given["self"])
    axes = given.get("dims")
    if axes is None:
        axes = [given.get("dim0", 0), given.get("dim1", 1)]
        if shape is not None and len(shape) == 2 and {one % 2 for one in axes} == {0, 1}:
            build.transposes(step.results[0], source)
        build.call(step.results, torch.transpose, source, *axes)
        return True
    if shape is not None and len(shape) == 2 and [one % 2 for one in axes] == [1, 0]:
        build.transposes(step.results[0], source)
    build.call(step.results, torch.permute, source, tuple(axes))
    return True


def batch_norm(build: Builder, step: Step) -> bool:
    """Batch normalization in evaluation."""
    given = step.arguments
    names = ("input", "weight", "bias", "running_mean", "running_var", "eps")
    return not given.get("training") and normalize_batch(
        build, step.results[0], *(given[name] for name in names)
    )


def normalize_batch(
    build: Builder,
    result: str,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    epsilon: float,
) -> bool:
    """Batch normalization as a module, where its tensors are those of one."""
    shape = build.shape(x)
    means, variances, factors, shifts = map(build.stored, (mean, variance, weight, bias))
    kind = _BATCH_NORMS.get(len(shape or ()))
    if kind is None or means is None or variances is None:
        return False
    is_affine = factors is not None
    fits = is_affine == (shifts is not None) and is_affine == (weight is not None)
    if not fits or not build.of_one_module(
        weight=factors, bias=shifts, running_mean=means, running_var=variances
    ):
        return False
    counter = f"{means.name.removesuffix('running_mean')}num_batches_tracked"

    def make() -> nn.Module:
        norm = kind(means.numel, eps=epsilon, affine=is_affine, device="meta").eval()
        if not build.holds(counter):
            norm.num_batches_tracked = None
        return norm

    return build.apply(result, means, make, x)


def layer_norm(build: Builder, step: Step) -> bool:
    """Layer normalization."""
    given = step.arguments
    shape = tuple(given["normalized_shape"])
    normalize_layer(
        build,
        step.results[0],
        given["input"],
        shape,
        given.get("weight"),
        given.get("bias"),
        given.get("eps", 1e-5),
    )
    return True


def normalize_layer(
    build: Builder,
    result: str,
    x: Any,
    shape: tuple[int, ...],
    weight: Any,
    bias: Any,
    epsilon: float,
) -> None:
    """Layer normalization as a module, or as a function."""
    scale, shift = build.stored(weight), build.stored(bias)
    fits = scale is not None and (bias is None or shift is not None)
    if scale is not None and fits and build.of_one_module(weight=scale, bias=shift):
        has_bias = bias is not None
        make = partial(nn.LayerNorm, shape, eps=epsilon, bias=has_bias, device="meta")
        if build.apply(result, scale, make, x):
            return
    build.call(result, functional.layer_norm, x, shape, weight, bias, epsilon)


def group_norm(build: Builder, step: Step) -> bool:
    """Group normalization."""
    given = step.arguments
    groups, epsilon = given.get("num_groups", given.get("group")), given.get("eps", 1e-5)
    weight, bias = given.get("weight"), given.get("bias")
    normalize_groups(build, step.results[0], given["input"], groups, weight, bias, epsilon)
    return True


def normalize_groups(
    build: Builder, result: str, x: Any, groups: int, weight: Any, bias: Any, epsilon: float
) -> None:
    """Group normalization as a module, or as a function."""
    scale, shift = build.stored(weight), build.stored(bias)
    if scale is not None and shift is not None and build.of_one_module(weight=scale, bias=shift):
        make = partial(nn.GroupNorm, groups, scale.numel, eps=epsilon, device="meta")
        if build.apply(result, scale, make, x):
            return
    build.call(result, functional.group_norm, x, groups, weight, bias, epsilon)


def rms_norm(build: Builder, step: Step) -> bool:
    """Normalization by the root of the mean square."""
    given = step.arguments
    shape, weight = tuple(given["normalized_shape"]), given.get("weight")
    build.call(
        step.results[:1], functional.rms_norm, given["input"], shape, weight, given.get("eps")
    )
    return True


def embedding(build: Builder, step: Step) -> bool:
    """Rows of a table by their indices."""
    return look_up(build, step.results[0], step.arguments["indices"], step.arguments["weight"])


def look_up(build: Builder, result: str, indices: Any, weight: Any) -> bool:
    """Rows of a table, as a module or as a function; by fixed indices as entries of a tensor."""
    if not build.depends(indices):
        build.call(result, operator.getitem, weight, (indices,))
        return True
    table = build.stored(weight)
    if table is not None and len(table.shape) == 2 and build.of_one_module(weight=table):
        make = partial(nn.Embedding, *table.shape, device="meta")
        if build.apply(result, table, make, indices):
            return True
    build.call(result, functional.embedding, indices, weight)
    return True


def prelu(build: Builder, step: Step) -> bool:
    """A rectifier with trained slopes."""
    return rectify(build, step.results[0], step.arguments["self"], step.arguments["weight"])


def rectify(build: Builder, result: str, x: Any, weight: Any) -> bool:
    """A rectifier with trained slopes, as a module or as a function."""
    slopes = build.stored(weight)
    if slopes is not None and len(slopes.shape) == 1 and build.of_one_module(weight=slopes):
        make: Callable[[], nn.Module] = partial(nn.PReLU, slopes.numel, device="meta")
        if build.apply(result, slopes, make, x):
            return True
    build.call(result, torch.prelu, x, weight)
    return True


def einsum(build: Builder, step: Step) -> bool:
    """A sum of products by its equation."""
    tensors: Sequence[Value] = step.arguments["tensors"]
    build.call(step.results, torch.einsum, step.arguments["equation"], *tensors)
    return True
