"""Tensors that are no matrices of a network by their names and shapes, with the evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from dlgen_cli.checkpoints.checkpoint import Checkpoint, TensorInfo
from dlgen_cli.checkpoints.stored import FLOATING
from dlgen_cli.networks.layouts.weight import Leftover
from dlgen_cli.networks.layouts.words import last_part, module_of, module_words, words

#: What modules call their fixed tables; the whole last part of the name, from the first letter on.
_ROTATIONS = (
    r"(.*_)?(cos|sin)(_cached|_cache|_emb|_embed|_table)?|cos_sin(_cache|_cached)?|freqs_cis"
    r"|(.*_)?freqs?(_cos|_sin|_cached|_complex)?|(.*_)?inv_freq|(.*_)?rotary(_.*)?|rope(_.*)?"
)
_POSITIONS = r"pe|sinusoid.*|(.*_)?sinusoidal(_.*)?|float_tensor|(.*_)?alibi(_.*)?"
_FILTERS = (
    r"(.*_)?(filters|filterbanks?|fbanks?|fb|mel|mel_basis|mel_filters?|melmat|dct(_mat)?)"
    r"|(.*_)?window"
)
_ANCHORS = (
    r"(.*_)?anchors?(_grid|_grids|_points|_boxes)?|(.*_)?priors?(_boxes)?|(.*_)?grids?"
    r"|(.*_)?coords(_table|_grid)?|default_boxes"
)
_STATISTICS = (
    r"(running|moving|ema|avg|average)_.*|(.*_)?(avg|ema|average)|(.*_)?cluster_size|(.*_)?queue"
    r"|(.*_)?memory_bank|((pixel|image|input|data|feat|feature)_)?(mean|std|var)"
)
_TABLES = tuple(
    (what, re.compile(pattern, re.IGNORECASE))
    for what, pattern in (
        ("a table of rotations", _ROTATIONS),
        ("a table of positions", _POSITIONS),
        ("a bank of fixed filters", _FILTERS),
        ("anchors of a detector, or a grid", _ANCHORS),
        ("statistics of examples", _STATISTICS),
    )
)
_MASKS = frozenset({"tril", "triu", "causal_bias", "masked_bias"})
_STATES = re.compile(r"A_logs?|log_A(_.*)?|A_(real|imag)|ssm_a")
_INDICES = re.compile(
    r"(.*_)?(ids?|idx|index|indices|positions?|perm|invperm|offsets?|lengths?|mapping|table_index)"
)
_NORMALIZATIONS = frozenset(
    {"norm", "norms", "ln", "bn", "gn", "layernorm", "batchnorm", "groupnorm", "instancenorm"}
    | {"rmsnorm", "rms", "qnorm", "knorm"}
)
_AFFINE = {"weight": "bias", "bias": "weight", "gamma": "beta", "beta": "gamma"}


def is_indices(info: TensorInfo) -> bool:
    """Whether whole numbers index something by their name, and are no weight."""
    return not info.is_floating and _INDICES.fullmatch(last_part(info.name)) is not None


def fixed_table(info: TensorInfo) -> Leftover | None:
    """What a tensor is that its name tells to be no parameter; None where it does not.

    Args:
        info: a tensor of floating-point entries.
    """
    last = last_part(info.name).lstrip("_")
    if last in {"weight", "bias"}:
        return None
    if is_mask_name(last):
        return Leftover(reason="a mask by its name: no weight", role="aside")
    for what, pattern in _TABLES:
        if pattern.fullmatch(last):
            return Leftover(reason=f"{what} by its name: a buffer, no weight", role="aside")
    if _STATES.fullmatch(last):
        return Leftover(reason="the diagonals of a state space, or their logarithm: no matrix")
    return None


def is_mask_name(last: str) -> bool:
    """Whether the last part of a name is that of a mask; ``mask_token`` is none."""
    return last in _MASKS or words(last)[-1:] in (["mask"], ["masks"])


def normalization(info: TensorInfo, infos: Mapping[str, TensorInfo]) -> Leftover | None:
    """Whether a tensor scales or shifts what a normalization gives, over any number of axes.

    Its partner of the same shape tells, or the name of its module.

    Args:
        info: a tensor of floating-point entries.
        infos: all tensors.
    """
    last = last_part(info.name)
    if last not in _AFFINE or not info.shape:
        return None
    partner = infos.get(module_of(info.name) + _AFFINE[last])
    is_pair = partner is not None and partner.is_floating and partner.shape == info.shape
    named = module_words(info.name)
    if len(info.shape) == 1 or partner is None:
        named = named if len(info.shape) == 1 else named[-1:]
        is_pair = is_pair or bool(_NORMALIZATIONS & set(named))
    if not is_pair:
        return None
    what = "scale" if last in {"weight", "gamma"} else "shift"
    sizes = "×".join(map(str, info.shape))
    return Leftover(reason=f"normalization {what} ({sizes}): not a matrix")


def is_bias(info: TensorInfo) -> bool:
    """Whether a tensor is a bias by its name, whatever its shape."""
    return words(last_part(info.name))[-1:] == ["bias"]


def holds_mask(info: TensorInfo, checkpoint: Checkpoint) -> bool:
    """Whether the entries of square slices are a causal mask's.

    One value stands above the diagonal, and another one below it.
    Only tensors that are not called a weight are looked at.
    """
    if info.dtype not in FLOATING or len(info.shape) < 2 or info.shape[-1] != info.shape[-2]:
        return False
    if info.shape[-1] < 3 or "weight" in last_part(info.name):
        return False
    try:
        square = checkpoint.reader(info.stored_name).reshape(-1, *info.shape[-2:])[0]
    except (OSError, ValueError, RuntimeError, MemoryError):
        return False  # the reading of the layer says so
    above, below = square[0, -1], square[-1, 0]
    if not (bool((square[0, 1:] == above).all()) and bool((square[-1, :-1] == below).all())):
        return False
    order = torch.arange(len(square))
    is_above = order[None, :] > order[:, None]
    is_constant = bool((square[is_above] == above).all()) and bool(
        (square[is_above.mT] == below).all()
    )
    return is_constant and bool(above != below)
