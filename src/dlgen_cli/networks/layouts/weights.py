"""Stored tensors to weights: parametrizations, adapters and scaled integers put together.

Where one weight is stored as several tensors, none of them is the weight. The names are those of
torch (``nn.utils.weight_norm``, ``spectral_norm``, ``prune`` and ``nn.utils.parametrize``), of
masked and Bayesian layers, of adapters, and of quantised weights that keep their scale beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dlgen_cli.checkpoints.checkpoint import Checkpoint, TensorInfo
from dlgen_cli.networks.layouts.adapters import AdapterScaling, find_adapter, may_be_adapter
from dlgen_cli.networks.layouts.buffers import holds_mask
from dlgen_cli.networks.layouts.quantised import find_companion, find_scaled, packed_modules
from dlgen_cli.networks.layouts.recipe import Recipe
from dlgen_cli.networks.layouts.weight import Leftover, Match, Weight
from dlgen_cli.networks.layouts.words import last_part, module_of
from dlgen_cli.networks.reparametrization import weight_norm_names

_PARAMETRIZED = re.compile(r"(?P<module>.*\.)?parametrizations\.(?P<name>[^.]+)\.(?P<part>.+)")
_HOOKED = re.compile(r"(?P<stem>.*)_(g|v|u|orig|mask|bar)")
#: The mean of a random weight, and what its deviations are called.
_RANDOM = re.compile(
    r"(?P<stem>.*weight|W)_(?P<part>mu|mean|rho|sigma|log_?sigma|log_?alpha|logvar|log_var|epsilon|eps)"
)
_DEVIATIONS = (
    *("rho", "sigma", "logsigma", "log_sigma", "log_alpha", "logalpha", "logvar", "log_var"),
    *("epsilon", "eps"),
)
_USUAL_TYPES = frozenset({"float32", "float16", "bfloat16", "float64"})
_MASKS = ("mask", "weight_mask", "mask_weight")


@dataclass(slots=True)
class Weights:
    """What the tensors of a state dict were put together to.

    Attributes:
        found: the weights, in stored order.
        leftovers: why other tensors are none, by name.
    """

    found: list[Weight] = field(default_factory=list)
    leftovers: dict[str, Leftover] = field(default_factory=dict)


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
        match = _match(name, stored)
        if match is None:
            if info.is_floating:
                weights.found.append(
                    Weight(name=name, shape=info.shape, recipe=Recipe(sources=(name,)))
                )
            continue
        taken.update(match.names)
        weights.leftovers |= match.leftovers
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
        self.packed = packed_modules(self.infos)
        self.siblings: dict[str, list[str]] = {}  # by module
        self.parametrized: dict[str, dict[str, str]] = {}  # by parameter, then by part
        for name in self.infos:
            self.siblings.setdefault(module_of(name), []).append(name)
            matched = _PARAMETRIZED.fullmatch(name) if "parametrizations." in name else None
            if matched is not None:
                parameter = f"{matched['module'] or ''}{matched['name']}"
                self.parametrized.setdefault(parameter, {})[matched["part"]] = name

    def is_plain(self, name: str) -> bool:
        """Whether a module has a weight of usual numbers, a bias and nothing else: most have."""
        module = module_of(name)
        beside = self.siblings[module]
        return (
            len(beside) <= 2
            and all(one[len(module) :] in {"weight", "bias"} for one in beside)
            and self.infos[name].dtype in _USUAL_TYPES
            and not self.infos[name].is_buffer
            and not may_be_adapter(name)
        )


def _match(name: str, stored: _Stored) -> Match | None:
    infos = stored.infos
    if stored.is_plain(name):
        return None
    if infos[name].is_buffer and infos[name].is_floating:
        reason = "a buffer of its module, by the file: no weight"
        return Match.without_weight((name,), Leftover(reason=reason, role="aside"))
    return (
        _hooked(name, infos)
        or _parametrized(name, stored)
        or _random(name, infos)
        or find_adapter(name, infos, stored.scaling)
        or find_scaled(name, stored.checkpoint, stored.siblings)
        or find_companion(name, infos, stored.packed)
        or _masked(name, infos)
        or _mask(name, stored)
    )


def _hooked(name: str, infos: Mapping[str, TensorInfo]) -> Match | None:
    """Forward hooks of torch and of older codes, by what stands after the last underscore."""
    matched = _HOOKED.fullmatch(name)
    if matched is None:
        return None
    stem = matched["stem"]
    return _pruned(stem, infos) or _spectral_hook(stem, infos) or _weight_norm_hook(stem, infos)


def _pruned(stem: str, infos: Mapping[str, TensorInfo]) -> Match | None:
    """``X_orig`` and ``X_mask``."""
    weight, mask = infos.get(f"{stem}_orig"), infos.get(f"{stem}_mask")
    if weight is None or mask is None or weight.shape != mask.shape:
        return None
    note = "pruned: its entries times their mask"
    return _times_mask(stem, weight.name, mask.name, infos, note=note)


def _spectral_hook(stem: str, infos: Mapping[str, TensorInfo]) -> Match | None:
    """``X_orig``, ``X_u`` and ``X_v``; without v, or with ``X_bar``, sigma is not on record."""
    original, bar, u, v = (f"{stem}_{end}" for end in ("orig", "bar", "u", "v"))
    if u not in infos:
        return None
    if original in infos and v in infos:
        return _spectral(stem, (original, u, v), infos)
    if original in infos:
        reason = "spectral normalization without v: what the weight is divided by is not on record"
        return Match.without_weight((original, u), Leftover(reason=reason))
    if bar in infos:
        names = tuple(one for one in (bar, u, v) if one in infos)
        reason = "spectral normalization that steps at each call: its divisor is not on record"
        return Match.without_weight(names, Leftover(reason=reason))
    return None


def _weight_norm_hook(stem: str, infos: Mapping[str, TensorInfo]) -> Match | None:
    """``X_g`` and ``X_v``."""
    (g, v), _ = weight_norm_names(stem)
    if g not in infos or v not in infos or not _is_norm_of(infos[g], infos[v]):
        return None
    weight, names = _normed(stem, g, v, infos), (g, v)
    if stem not in infos:
        return Match(weight=weight, names=names)
    left = Leftover(reason=f"{g} and {v} are applied in its place")
    return Match(weight=weight, names=(*names, stem), leftovers={stem: left})


def _times_mask(
    name: str, weight: str, mask: str, infos: Mapping[str, TensorInfo], *, note: str
) -> Match:
    """A weight of which a mask keeps some entries."""
    if not infos[weight].is_floating:
        reason = "masked entries that are not floating point: it may be a weight"
        return Match.without_weight((weight, mask), Leftover(reason=reason, role="unknown"))
    recipe = Recipe(form="masked", sources=(weight, mask))
    made = Weight(name=name, shape=infos[weight].shape, recipe=recipe, note=note)
    return Match(weight=made, names=(weight, mask))


def _masked(name: str, infos: Mapping[str, TensorInfo]) -> Match | None:
    """``X.weight`` and a mask of its shape beside it, as masked autoregressive layers keep it."""
    last, stem = last_part(name), module_of(name)
    weight = f"{stem}weight" if last in _MASKS else name
    info = infos.get(weight)
    if last_part(weight) != "weight" or info is None or len(info.shape) < 2:
        return None
    for end in _MASKS:
        mask = infos.get(stem + end)
        if mask is not None and mask.shape == info.shape:
            note = f"times {mask.name}, the mask beside it"
            return _times_mask(weight, weight, mask.name, infos, note=note)
    return None


def _mask(name: str, stored: _Stored) -> Match | None:
    """A causal mask by its entries."""
    info = stored.infos[name]
    if not (info.is_floating and holds_mask(info, stored.checkpoint)):
        return None
    reason = "a causal mask by its entries: no weight"
    return Match.without_weight((name,), Leftover(reason=reason, role="aside"))


def _random(name: str, infos: Mapping[str, TensorInfo]) -> Match | None:
    """A Gaussian over weights: its mean is measured, its deviations are named."""
    matched = _RANDOM.fullmatch(name)
    if matched is None:
        return None
    stem = matched["stem"]
    mean = next((one for one in (f"{stem}_mu", f"{stem}_mean") if one in infos), None)
    others = [one for end in _DEVIATIONS if (one := f"{stem}_{end}") in infos]
    if mean is None or not others or not infos[mean].is_floating:
        return None
    if name != mean:
        left = Leftover(reason=f"deviations of the random weight around {mean}: no matrix")
        return Match.without_weight((name,), left)
    note = f"the mean of a random weight, whose deviations are made of {others[0]}"
    recipe = Recipe(sources=(mean,))
    return Match(
        weight=Weight(name=mean, shape=infos[mean].shape, recipe=recipe, note=note), names=()
    )


def _parametrized(name: str, stored: _Stored) -> Match | None:
    """``M.parametrizations.P.…``, which stands for ``M.P``."""
    matched = _PARAMETRIZED.fullmatch(name) if "parametrizations." in name else None
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
    return Match.without_weight(names, Leftover(reason=reason))


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
