"""Why a stored tensor is no weight of a layer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dlgen_cli.checkpoints.checkpoint import TensorInfo
from dlgen_cli.networks.layouts.buffers import fixed_table, is_bias, is_indices, normalization
from dlgen_cli.networks.layouts.stacks import may_be_stack
from dlgen_cli.networks.layouts.weight import Leftover
from dlgen_cli.networks.layouts.words import last_part

#: Kernels: weights, and the fixed ones of transforms.
_KERNEL = re.compile(r".*weight|(.*_)?basis(_buffer)?")
_FLAT = 64  # entries from which on a vector may be a matrix
_FLAT_NAMES = re.compile(r"(.*_)?(weights?|params?|flat_param)")


def is_weight_shaped(info: TensorInfo) -> bool:
    """Whether a tensor may be a matrix or, by its name, a kernel or a stack of matrices."""
    if info.numel == 0 or not 2 <= len(info.shape) <= 5:
        return False
    is_kernel = _KERNEL.fullmatch(last_part(info.name)) is not None
    return len(info.shape) == 2 or is_kernel or may_be_stack(info)


def refusal(info: TensorInfo, infos: Mapping[str, TensorInfo]) -> Leftover | None:
    """Why a floating-point tensor of the shape of a weight is none; None where it may be one.

    Args:
        info: the tensor.
        infos: all tensors.
    """
    found = fixed_table(info) or normalization(info, infos)
    if found is None and is_bias(info):
        return Leftover(reason="a bias: not a matrix")
    return found


def leftover(info: TensorInfo, infos: Mapping[str, TensorInfo]) -> Leftover:
    """Why no layer reads a tensor, and what it is.

    Args:
        info: the tensor.
        infos: all tensors.
    """
    if info.numel == 0:
        return Leftover(reason=f"has no entries, shape {info.shape}", role="aside")
    if not info.is_floating:
        return _not_floating(info)
    return refusal(info, infos) or _description(info)


def _not_floating(info: TensorInfo) -> Leftover:
    if not info.shape:
        return Leftover(reason="a counter, no weight", role="aside")
    if last_part(info.name) == "_extra_state":
        return Leftover(reason="what a module keeps beside its weights, serialised", role="aside")
    if is_indices(info):
        return Leftover(reason="indices by their name: no weight", role="aside")
    if info.dtype in {"int64", "uint64"}:
        return Leftover(reason=f"{info.dtype}: indices or counts, no weight", role="aside")
    if info.dtype == "bool":
        return Leftover(reason="bool: a mask, no weight", role="aside")
    reason = "not dense floating point, and no known scale: it may be a weight"
    return Leftover(reason=reason, role="unknown")


def _description(info: TensorInfo) -> Leftover:
    kind = ("a single number", "vector", "matrix", "tensor")[min(len(info.shape), 3)]
    sizes = "×".join(map(str, info.shape))
    what = f"{kind} {sizes}".strip()
    last = last_part(info.name)
    if len(info.shape) == 1 and info.numel >= _FLAT and _FLAT_NAMES.fullmatch(last):
        return Leftover(reason=f"{what}: it may hold a weight that is stored flat")
    return Leftover(reason=f"{what}: no layer's weight")
