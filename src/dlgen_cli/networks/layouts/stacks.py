"""Stacks of matrices, one for each expert or member of an ensemble, and what tells them.

A kernel of three axes and a stack look alike: ``(outputs, inputs, taps)`` or ``(members, outputs,
inputs)``. Where nothing tells, the tensor is neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product

from dlgen_cli.checkpoints.checkpoint import TensorInfo
from dlgen_cli.networks.layouts.words import last_part, module_of, module_words, words

_STACKED = frozenset(
    {"expert", "experts", "exps", "moe", "ensemble", "ensembles", "members", "switch", "moes"}
)
_MATRIX_NAMES = frozenset({"linear", "fc", "dense", "lin", "mlp", "ffn"})
_ROUTERS = ("router", "gate", "gate_inp", "ffn_gate_inp", "router.layer", "wg", "gating")
#: Usual names of a normalization beside a kernel.
_NORMALIZATIONS = ("bn", "norm", "batch_norm", "batchnorm", "bn1", "norm1", "gn", "ln")
_MOST_TAPS = 31  # of a kernel without a bias or a name that tells it
_MOST_AXES = 5


def may_be_stack(info: TensorInfo) -> bool:
    """Whether the name of a tensor of three axes or more is that of a stack."""
    return 3 <= len(info.shape) <= _MOST_AXES and bool(_STACKED & set(words(info.name)))


def stacked_axes(name: str, shape: tuple[int, ...], infos: Mapping[str, TensorInfo]) -> int:
    """How many leading axes of a weight count matrices; 0 for a kernel.

    Args:
        name: of a weight of three to five axes.
        shape: of it.
        infos: all tensors.
    """
    if any(word.startswith("conv") for word in words(name)):
        return 0
    if _STACKED & set(words(name)):
        return len(shape) - 2
    bias = infos.get(_bias_of(name))
    if bias is not None and bias.is_floating:
        if len(bias.shape) == 1 and bias.shape[0] in shape[:2]:
            return 0
        if _is_bias_of_members(bias.shape, shape):
            return 1
    if len(shape) > 3:
        return 0
    is_stack = (
        bool(_MATRIX_NAMES & set(module_words(name)))
        or _is_routed(name, shape, infos)
        or _has_partner(name, shape, infos)
    )
    return 1 if is_stack else 0


def is_undecided(name: str, shape: tuple[int, ...], infos: Mapping[str, TensorInfo]) -> bool:
    """Whether three axes may be a kernel or a stack of matrices, and nothing tells which.

    A name, a bias, a normalization of its outputs, or kernels before or after it tell a kernel.
    """
    if len(shape) != 3 or stacked_axes(name, shape, infos):
        return False
    if any(word.startswith(("conv", "basis", "stft", "kernel")) for word in words(name)):
        return False
    bias = infos.get(_bias_of(name))
    if bias is not None and len(bias.shape) == 1:
        return False
    return shape[2] > _MOST_TAPS or not (
        _is_normalized(name, shape, infos) or _is_among_kernels(name, shape, infos)
    )


def members(shape: tuple[int, ...], leading: int) -> Iterator[tuple[int, ...]]:
    """The places of all matrices of a stack, in stored order."""
    return product(*(range(size) for size in shape[:leading]))


def _bias_of(name: str) -> str:
    last = last_part(name)
    return module_of(name) + (
        last.replace("weight", "bias") if "weight" in last else f"{last}_bias"
    )


def _is_bias_of_members(bias: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """``(members, outputs)`` or ``(members, 1, outputs)`` beside ``(members, ., .)``."""
    return (
        len(shape) == 3
        and 2 <= len(bias) <= 3
        and bias[0] == shape[0]
        and math.prod(bias[1:]) in shape[1:]
    )


def _is_routed(name: str, shape: tuple[int, ...], infos: Mapping[str, TensorInfo]) -> bool:
    """Whether a router with one output for each member stands beside the stack or above it."""
    parts = module_of(name).split(".")
    for depth in range(1, min(4, len(parts) + 1)):
        prefix = "".join(f"{part}." for part in parts[:-depth])
        for router in _ROUTERS:
            info = infos.get(f"{prefix}{router}.weight")
            if info is not None and len(info.shape) == 2:
                return info.shape[0] == shape[0] and info.shape[1] in shape[1:]
    return False


def _has_partner(name: str, shape: tuple[int, ...], infos: Mapping[str, TensorInfo]) -> bool:
    """Whether another stack of as many matrices beside it takes what this one gives.

    The size that they share is larger than a kernel's.
    """
    head, _, last = name.rpartition(".")
    above, _, own = head.rpartition(".")
    for other in _partners(own):
        info = infos.get(f"{above}.{other}.{last}" if above else f"{other}.{last}")
        if info is None or len(info.shape) != 3 or info.shape[0] != shape[0]:
            continue
        one, two = shape[1:], info.shape[1:]
        if own.isdecimal():
            first, second = (one, two) if int(own) < int(other) else (two, one)
            if shape[0] % second[0] and _follow(first, second):
                return True  # a kernel takes the outputs of the one before it, or groups of them
        elif (one == two[::-1] and one[0] != one[1]) or (
            max(one + two) > _MOST_TAPS and (one[0] == two[1] or one[1] == two[0])
        ):
            return True
    return False


def _is_normalized(name: str, shape: tuple[int, ...], infos: Mapping[str, TensorInfo]) -> bool:
    """Whether a normalization of as many features as a kernel has outputs stands after it."""
    above, own = _place_of(name)
    after = str(int(own) + 1) if own.isdecimal() else None
    for other in (after, *_NORMALIZATIONS):
        info = infos.get(f"{above}{other}.weight")
        if other is not None and info is not None and info.shape == shape[:1]:
            return True
    return False


def _is_among_kernels(name: str, shape: tuple[int, ...], infos: Mapping[str, TensorInfo]) -> bool:
    """Whether it takes the channels of a kernel before it in a list, or gives those of the next."""
    above, own = _place_of(name)
    for step in (-3, -2, -1, 1, 2, 3) if own.isdecimal() else ():
        info = infos.get(f"{above}{int(own) + step}.{last_part(name)}")
        if info is None or len(info.shape) != 3:
            continue
        first, second = (info.shape, shape) if step < 0 else (shape, info.shape)
        is_stack = first[0] == second[0] and _follow(first[1:], second[1:])
        if first[0] == second[1] > 1 and not is_stack:
            return True
    return False


def _place_of(name: str) -> tuple[str, str]:
    """What stands before the name of a tensor's module, the dot included, and that name."""
    above, dot, own = module_of(name)[:-1].rpartition(".")
    return f"{above}{dot}", own


def _follow(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether a matrix takes what the one before it gives, both stored in one of the two ways."""
    return first[1] == second[0] > 1 or first[0] == second[1] > 1


def _partners(own: str) -> list[str]:
    """Usual names of the matrices beside one of a feed-forward block, or of the next of a list."""
    if own.isdecimal():
        return [str(int(own) + step) for step in (-2, -1, 1, 2) if int(own) + step >= 0]
    return ["w1", "w2", "w3", "up", "down", "up_proj", "down_proj", "gate_proj", "wi", "wo", "w_in"]
