"""Why a stored tensor is no weight of a layer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dlgen_cli.checkpoints import TensorInfo

_POSITIONS = ("position_ids", "token_type_ids", "relative_position_index", "cache_position")
#: Kernels: weights, and the fixed ones of transforms.
_KERNEL = re.compile(r".*weight|(.*_)?basis(_buffer)?")
_SCALES = re.compile(r"(.*_)?(scales?|scale_inv|zeros|absmax|SCB|zero_point|quant_map)")


def is_positions(info: TensorInfo) -> bool:
    """Whether integers are indices by their name, and no weight."""
    return not info.is_floating and info.name.rsplit(".", 1)[-1] in _POSITIONS


def is_weight_shaped(info: TensorInfo) -> bool:
    """Whether a tensor may be a matrix or, by its name, a kernel."""
    last = info.name.rsplit(".", 1)[-1]
    return info.numel > 0 and (
        len(info.shape) == 2 or (3 <= len(info.shape) <= 5 and _KERNEL.fullmatch(last) is not None)
    )


def refusal(info: TensorInfo, infos: Mapping[str, TensorInfo]) -> str | None:
    """Why a floating-point tensor of the shape of a weight is none; None where it may be one.

    Args:
        info: the tensor.
        infos: all tensors.
    """
    last = info.name.rsplit(".", 1)[-1]
    if "mask" in last:
        return "a mask: no weight"
    if _SCALES.fullmatch(last) and any(
        not other.is_floating and other.numel > 1 for other in _beside(info, infos)
    ):
        return "scales of quantised entries: no weight"
    return None


def reason_left_out(info: TensorInfo, infos: Mapping[str, TensorInfo]) -> str:
    """Why no layer reads a tensor.

    Args:
        info: the tensor.
        infos: all tensors.
    """
    if info.numel == 0:
        return f"has no entries, shape {info.shape}"
    if not info.is_floating:
        if is_positions(info):
            return "indices of positions: no weight"
        return "not dense floating point, and no known scale: it may be a weight"
    last = info.name.rsplit(".", 1)[-1]
    if last in {"running_mean", "running_var"}:
        return "normalization statistics: not a matrix"
    if len(info.shape) == 1 and last in {"weight", "bias", "gamma", "beta"}:
        other = {"weight": "bias", "bias": "weight", "gamma": "beta", "beta": "gamma"}[last]
        partner = infos.get(info.name.removesuffix(last) + other)
        if partner is not None and partner.shape == info.shape:
            what = "scale" if last in {"weight", "gamma"} else "shift"
            return f"normalization {what} ({info.numel}): not a matrix"
    return refusal(info, infos) or _description(info)


def _description(info: TensorInfo) -> str:
    kind = ("a single number", "vector", "matrix", "tensor")[min(len(info.shape), 3)]
    sizes = "×".join(map(str, info.shape))
    return f"{kind} {sizes}".strip() + ": no layer's weight"


def _beside(info: TensorInfo, infos: Mapping[str, TensorInfo]) -> list[TensorInfo]:
    """The usual integer tensors of the same module."""
    head = info.name.rpartition(".")[0]
    prefix = f"{head}." if head else ""
    names = ("weight", "qweight", "weight_packed", "qzeros", "g_idx", "_packed_params")
    return [infos[prefix + name] for name in names if prefix + name in infos]
