"""Quantised weights: entries of few bits, the scale beside them, and their other companions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch

from dlgen_cli.checkpoints.checkpoint import Checkpoint, TensorInfo
from dlgen_cli.networks.layouts.buffers import is_indices
from dlgen_cli.networks.layouts.recipe import Recipe
from dlgen_cli.networks.layouts.weight import Leftover, Match, Weight
from dlgen_cli.networks.layouts.words import last_part, module_of, words

#: Side of the square blocks that share a scale, unless the sizes tell other blocks.
BLOCK = 128
_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
_WHOLE = ("int8", "uint8")
#: Types of scales that are powers of two: the exponent plus 127.
_EXPONENTS = ("uint8", "float8_e8m0fnu")
#: Of a type's largest number: no weight that is stored as it is comes near it.
_SCALED_FROM = 1 / 8
#: What the scale of ``X.weight`` is called beside ``X.``, and beside the whole name.
_BESIDE_MODULE = (
    *("scale_weight", "weight_scale", "weight_scale_inv", "weight_scales", "scale", "scales"),
    *("scale_inv", "_weight_scale", "w_scale", "weights_scale", "SCB"),
)
_BESIDE_NAME = ("_scale", "_scale_inv", "_scales", ".scale", "._scale", "_scale_weight")
_ACTIVATIONS = re.compile(
    r"(.*_)?(input|act|activation|output|k|v|q|prob|in|out)_scales?(_inv)?|scale_(input|output|in|out)"
    r"|input_amax|scaled_fp8|(.*_)?(input|output)_zero_point"
)
#: Words of what stands beside packed entries.
_COMPANIONS = frozenset(
    {"scale", "scales", "wscale", "wscales", "scb", "absmax", "zero", "zeros", "zp", "point"}
    | {"offset", "offsets", "biases", "min", "max", "codebook", "codebooks", "map", "meta", "s"}
    | {"z", "su", "sv", "sf", "shift", "groups", "smooth", "wzeros", "inv", "scb", "grid"}
)
_PACKED = re.compile(
    r"q?weight|qweight|weight_packed|_weight_qdata|W_q|qzeros|_packed_params|Qidxs|codes|q_weight"
    r"|_data|(.*_)?blocks|(.*_)?(qdata|quantized|packed|int_weight)"
)


def packed_modules(infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    """Modules that hold packed entries, by their prefix, and the name of the first of them."""
    found: dict[str, str] = {}
    for name, info in infos.items():
        if info.is_floating or info.numel < 2 or is_indices(info) or info.dtype == "bool":
            continue
        last = last_part(name)
        if _PACKED.fullmatch(last):
            found.setdefault(module_of(name), name)
            if last == "_data":  # of a tensor inside a module
                found.setdefault(module_of(module_of(name)[:-1]), name)
    return found


def find_scaled(
    name: str, checkpoint: Checkpoint, siblings: Mapping[str, Sequence[str]]
) -> Match | None:
    """A quantised weight beside its scale; None for tensors of other types.

    A weight of eight bits in floating point without a scale is taken as it is stored only where
    its entries are of the size of weights and nothing beside it may be their scale.

    Args:
        name: of a tensor.
        checkpoint: where it is stored.
        siblings: names of tensors by module.
    """
    infos = checkpoint.tensors
    info = infos[name]
    if info.dtype not in (*_FLOAT8, *_WHOLE) or not 2 <= len(info.shape) <= 4 or not info.numel:
        return None
    last, stem = last_part(name), module_of(name)
    is_weight = last.endswith("weight") or info.dtype in _FLOAT8
    if not is_weight or _ACTIVATIONS.fullmatch(last) or _is_scale(name, infos):
        return None
    candidates = [f"{name}{end}" for end in _BESIDE_NAME]
    if last == "weight":
        candidates += [f"{stem}{one}" for one in _BESIDE_MODULE]
    scale = next((infos[one] for one in candidates if _may_scale(infos.get(one), info)), None)
    if scale is None:
        if info.dtype in _WHOLE:
            return None
        return _without_scale(info, checkpoint, siblings.get(stem, ()))
    zero = infos.get(f"{name}_zero_point")
    sources = [info, scale, *([zero] if zero is not None else [])]
    names = tuple(one.name for one in sources)
    others = [f"{name}_scale_2", f"{name}_global_scale", f"{stem}g_idx", f"{stem}weight_scale_2"]
    is_whole = info.dtype in _WHOLE
    fits = all(
        blocks_of(info.shape, one.shape, is_whole=is_whole) is not None for one in sources[1:]
    )
    if not fits or any(one in infos for one in others) or (info.dtype == "uint8" and zero is None):
        reason = f"{info.dtype} entries scaled by {scale.name} in a way that is not known"
        return Match.without_weight(names, Leftover(reason=reason, role="unknown"))
    recipe = Recipe(
        form="scaled", sources=names, factor=1 / 127 if scale.name.endswith("SCB") else 1.0
    )
    note = f"{info.dtype} entries times {last_part(scale.name)}"
    return Match(weight=Weight(name=name, shape=info.shape, recipe=recipe, note=note), names=names)


def find_companion(
    name: str, infos: Mapping[str, TensorInfo], packed: Mapping[str, str]
) -> Match | None:
    """What stands beside packed entries, or beside quantised ones to scale activations.

    Args:
        name: of a tensor.
        infos: all tensors.
        packed: of `packed_modules`.
    """
    info, last = infos[name], last_part(name)
    if not info.is_floating:
        return None
    if _ACTIVATIONS.fullmatch(last) and len(info.shape) < 2:
        reason = "the scale of a layer's inputs or outputs: no weight"
        return Match.without_weight((name,), Leftover(reason=reason))
    module = module_of(name)
    beside = packed.get(module)
    if beside is None and module[:-1] in infos:  # the name of a tensor, as bitsandbytes has it
        beside = packed.get(module_of(module[:-1]))
    if beside is None or not _COMPANIONS & set(words(last)) or last == "bias":
        return None
    reason = f"part of the quantisation of {beside}: no weight"
    return Match.without_weight((name,), Leftover(reason=reason, role="unknown"))


def blocks_of(
    weight: tuple[int, ...], scale: tuple[int, ...], *, is_whole: bool
) -> tuple[tuple[int, int], ...] | None:
    """On each axis of a weight how many entries share a scale, and how many scales there are.

    Args:
        weight: its shape.
        scale: the shape of its scale: one in all, one for each row, or one for each block.
        is_whole: entries are whole numbers, which have no blocks.

    Returns:
        None where the scale does not fit.
    """
    shape = _as_axes(scale, weight)
    if shape is None:
        return None
    found = []
    for axis, (size, count) in enumerate(zip(weight, shape, strict=True)):
        if count == 1:
            block = size
        elif count == size and (not is_whole or axis < len(weight) - 1):
            block = 1
        elif is_whole:
            return None
        elif math.ceil(size / BLOCK) == count:
            block = BLOCK
        elif size % count == 0:
            block = size // count
        else:
            return None
        found.append((block, count))
    return tuple(found)


def _as_axes(scale: tuple[int, ...], weight: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of a scale with one size for each axis of the weight; None where it has none."""
    if math.prod(scale) == 1:
        return (1,) * len(weight)
    if len(scale) > len(weight):
        return None
    if len(scale) == len(weight):
        return scale
    if scale == weight[: len(scale)]:  # for each row, each matrix, or each row of each matrix
        return scale + (1,) * (len(weight) - len(scale))
    return None


def _may_scale(scale: TensorInfo | None, weight: TensorInfo) -> bool:
    if scale is None or not scale.numel:
        return False
    return scale.is_floating or (scale.dtype in _EXPONENTS and weight.dtype in _FLOAT8)


def _is_scale(name: str, infos: Mapping[str, TensorInfo]) -> bool:
    """Whether a tensor is itself the scale of another one."""
    last = last_part(name)
    return last in _BESIDE_MODULE or any(
        name.endswith(end) and name.removesuffix(end) in infos for end in _BESIDE_NAME
    )


def _without_scale(info: TensorInfo, checkpoint: Checkpoint, beside: Sequence[str]) -> Match | None:
    """Why float8 entries are not taken as they are stored; None where they are."""
    infos = checkpoint.tensors
    if last_part(info.name) == "weight":
        for other in beside:
            last = last_part(other)
            is_known = last in {"weight", "bias"} or _ACTIVATIONS.fullmatch(last)
            if infos[other].is_floating and not is_known:
                reason = f"{info.dtype} entries beside {other}, which may scale them"
                return Match.without_weight((info.name,), Leftover(reason=reason, role="unknown"))
    try:
        largest = float(checkpoint.reader(info.stored_name).float().abs().amax())
    except (OSError, ValueError, RuntimeError, MemoryError):
        return None  # the reading of the layer says so
    limit = torch.finfo(getattr(torch, info.dtype)).max
    if not largest >= limit * _SCALED_FROM:
        return None
    reason = (
        f"{info.dtype} entries up to {largest:g} of {limit:g}: they are scaled, and no scale is "
        "beside them"
    )
    return Match.without_weight((info.name,), Leftover(reason=reason, role="unknown"))
