"""Stored tensors to weights: parametrizations, adapters and scaled integers put together.

Where one weight is stored as several tensors, none of them is the weight. The names are those of
torch (``nn.utils.weight_norm``, ``spectral_norm`` and ``nn.utils.parametrize``), of low-rank
adapters, and of quantised weights that keep their scale beside them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlgen_cli.checkpoints import Checkpoint, TensorInfo
from dlgen_cli.networks.layouts.adapters import AdapterScaling, find_adapter
from dlgen_cli.networks.layouts.evaluation import BLOCK
from dlgen_cli.networks.layouts.recipe import Recipe
from dlgen_cli.networks.layouts.weight import Match, Weight
from dlgen_cli.networks.reparametrization import weight_norm_names

_PARAMETRIZED = re.compile(r"(?P<module>.*\.)?parametrizations\.(?P<name>[^.]+)\.(?P<part>.+)")
_QUANTISED_ENTRIES = ("int8", "uint8", "float8_e4m3fn", "float8_e5m2")


@dataclass(slots=True)
class Weights:
    """What the tensors of a state dict were put together to.

    Attributes:
        found: the weights, in stored order.
        reasons: why other tensors are none, by name.
    """

    found: list[Weight] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


def find_weights(checkpoint: Checkpoint) -> Weights:
    """Put the weights of a state dict together.

    Args:
        checkpoint: named tensors; of most of them only name and shape are looked at.

    Returns:
        Every tensor that is a weight or a part of one, in order, plain ones included.

    Raises:
        CheckpointError: adapters stand beside a file with their scale that cannot be read.
    """
    weights, taken = Weights(), set[str]()
    stored = _Stored(checkpoint)
    for name, info in checkpoint.tensors.items():
        if name in taken:
            continue
        match = _match(info.name, stored)
        if match is None:
            if info.is_floating:
                weights.found.append(
                    Weight(name=name, shape=info.shape, recipe=Recipe(sources=(name,)))
                )
            continue
        taken.update(match.names)
        weights.reasons |= match.reasons
        if match.weight is not None:
            weights.found.append(match.weight)
    weights.found = [
        one for one in weights.found if one.name not in taken or one.recipe.form != "plain"
    ]
    return weights


class _Stored:
    """A checkpoint's tensors, and what is looked up of them many times."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.infos = checkpoint.tensors
        self.scaling = AdapterScaling(checkpoint)
        self.parametrized: dict[str, dict[str, str]] = {}  # by parameter, then by part
        for name in self.infos:
            matched = _PARAMETRIZED.fullmatch(name)
            if matched is not None:
                parameter = f"{matched['module'] or ''}{matched['name']}"
                self.parametrized.setdefault(parameter, {})[matched["part"]] = name


def _match(name: str, stored: _Stored) -> Match | None:
    return (
        _hooked(name, stored.infos)
        or _parametrized(name, stored)
        or find_adapter(name, stored.infos, stored.scaling)
        or _scaled(name, stored.checkpoint)
    )


def _hooked(name: str, infos: Mapping[str, TensorInfo]) -> Match | None:
    """``X_g`` and ``X_v``, or ``X_orig``, ``X_u`` and ``X_v``: forward hooks of torch."""
    stem = re.sub(r"_(g|v|u|orig)$", "", name)
    if stem == name:
        return None
    original, u = f"{stem}_orig", f"{stem}_u"
    (g, v), _ = weight_norm_names(stem)
    if original in infos and u in infos and v in infos:
        return _spectral(stem, (original, u, v), infos)
    if g in infos and v in infos and _is_norm_of(infos[g], infos[v]):
        match = Match(weight=_normed(stem, g, v, infos), names=(g, v))
        if stem in infos:
            reason = f"{g} and {v} are applied in its place"
            return Match(weight=match.weight, names=(g, v, stem), reasons={stem: reason})
        return match
    return None


def _parametrized(name: str, stored: _Stored) -> Match | None:
    """``M.parametrizations.P.…``, which stands for ``M.P``."""
    matched = _PARAMETRIZED.fullmatch(name)
    if matched is None:
        return None
    parameter = f"{matched['module'] or ''}{matched['name']}"
    infos, parts = stored.infos, stored.parametrized[parameter]
    names = tuple(parts.values())
    _, (g, v) = weight_norm_names(parameter)
    if set(names) == {g, v} and _is_norm_of(infos[g], infos[v]):
        return Match(weight=_normed(parameter, g, v, infos), names=names)
    if set(parts) == {"original", "0._u", "0._v"}:
        return _spectral(parameter, (parts["original"], parts["0._u"], parts["0._v"]), infos)
    reason = f"part of a parametrization of {parameter} whose rule is not known"
    return Match(weight=None, names=names, reasons=dict.fromkeys(names, reason))


def _is_norm_of(g: TensorInfo, v: TensorInfo) -> bool:
    """Whether g has one entry for each slice of v, or one in all."""
    if not (g.is_floating and v.is_floating and g.numel and v.numel and len(v.shape) > 1):
        return False
    pairs = list(zip(g.shape, v.shape, strict=False))
    fits = len(g.shape) == len(v.shape) and all(one in {1, size} for one, size in pairs)
    return not g.shape or (fits and any(one == 1 for one, _ in pairs))


def _normed(name: str, g: str, v: str, infos: Mapping[str, TensorInfo]) -> Weight:
    recipe = Recipe(form="weight_norm", sources=(g, v))
    return Weight(
        name=name,
        shape=infos[v].shape,
        recipe=recipe,
        note="weight normalization resolved: g v / ‖v‖",
    )


def _spectral(
    name: str, sources: tuple[str, str, str], infos: Mapping[str, TensorInfo]
) -> Match | None:
    weight, u, v = (infos[source] for source in sources)
    rest = [weight.numel // size for size in weight.shape[:2] if size]
    fits = len(weight.shape) > 1 and (u.numel, v.numel) in zip(weight.shape, rest, strict=False)
    if not fits or not all(one.is_floating for one in (weight, u, v)):
        return None
    found = Weight(
        name=name,
        shape=weight.shape,
        recipe=Recipe(form="spectral_norm", sources=sources),
        note="spectral normalization resolved: W / uᵀWv, as in evaluation",
    )
    return Match(weight=found, names=sources)


def _scaled(name: str, checkpoint: Checkpoint) -> Match | None:
    """A quantised matrix ``X.weight`` beside its scale."""
    infos = checkpoint.tensors
    if not name.endswith("weight") or len(infos[name].shape) != 2:
        return None
    stem = name.removesuffix("weight")
    scales = [f"{name}_scale", f"{name}_scale_inv", f"{stem}SCB"]
    scale = next((one for one in scales if one in infos and infos[one].is_floating), None)
    if scale is None:
        return None
    zero = f"{name}_zero_point"
    others = [f"{name}_scale_2", f"{name}_global_scale", f"{stem}g_idx"]
    sources = (name, scale, *([zero] if zero in infos else ()))
    entries = str(checkpoint.reader(infos[name].stored_name).dtype).removeprefix("torch.")
    if (
        any(one in infos for one in others)
        or entries not in _QUANTISED_ENTRIES
        or not all(_fits_rows(infos[name].shape, infos[one], one) for one in sources[1:])
    ):
        reason = f"{entries} entries scaled by {scale} in a way that is not known: not supported"
        return Match(weight=None, names=sources, reasons=dict.fromkeys(sources, reason))
    factor = 1 / 127 if scale.endswith("SCB") else 1.0
    recipe = Recipe(form="scaled", sources=sources, factor=factor)
    note = f"{entries} entries times their scale"
    weight = Weight(name=name, shape=infos[name].shape, recipe=recipe, note=note)
    return Match(weight=weight, names=sources)


def _fits_rows(shape: Sequence[int], scale: TensorInfo, name: str) -> bool:
    if name.endswith("_scale_inv") and len(scale.shape) == 2:
        return scale.shape == tuple(math.ceil(size / BLOCK) for size in shape)
    return scale.numel == 1 or scale.shape in {(shape[0],), (shape[0], 1)}
