"""Adapters: factors that stand for the update of a weight.

Sources: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1,
https://arxiv.org/abs/2106.09685: the update of a weight is ``(alpha / r) B A``; Zhang et al. 2023,
"AdaLoRA", https://arxiv.org/abs/2303.10512: ``B diag(e) A``; Yeh et al. 2024, "LyCORIS",
https://arxiv.org/abs/2309.14859: the products of Hadamard (LoHa) and of Kronecker (LoKr).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from dlgen_cli.checkpoints.adapter_config import AdapterConfig, read_adapter_config
from dlgen_cli.checkpoints.checkpoint import Checkpoint, TensorInfo
from dlgen_cli.networks.layouts.recipe import Recipe
from dlgen_cli.networks.layouts.weight import Leftover, Match, Weight

#: What the names of A and B hold, as whole parts between dots.
_PAIRS = (
    ("lora_A", "lora_B"),
    ("lora_a", "lora_b"),
    ("lora_embedding_A", "lora_embedding_B"),
    ("lora_down", "lora_up"),
    ("lora.down", "lora.up"),
    ("_lora.down", "_lora.up"),
)
#: A part of a name, between dots, that only adapters have, and what they are called.
_KINDS = (
    ("LoHa", re.compile(r"hada_(w[12]_[ab]|t[12])|loha_.*")),
    ("LoKr", re.compile(r"lokr_.*")),
    ("VeRA", re.compile(r"vera_.*")),
    ("IA3", re.compile(r"ia3_.*|ia3")),
    ("OFT", re.compile(r"b?oft_.*")),
    ("DoRA", re.compile(r"dora_scale|lora_magnitude_vector")),
    (
        "another kind",
        re.compile(
            r"(lora|vblora|fourierft|randlora|gralora|delora|shira|glora|hra)_.*|_lora|lora"
            r"|.*_lora|ranknum|trainable_tokens_delta"
        ),
    ),
)
#: One of these stands in every such name.
_HINTS = (
    *("lora", "hada_", "loha_", "lokr_", "vera_", "ia3", "oft_", "dora_", "fourierft_", "shira_"),
    *("hra_", "ranknum", "trainable_tokens_delta"),
)
_HADAMARD = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_MOST_ENTRIES = 1 << 27  # of an update that is multiplied out


class AdapterScaling:
    """The scale alpha / r of adapters, where it is on record.

    An ``alpha`` beside the factors comes first, then what the file itself records, then the file
    that is saved beside it.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._config: AdapterConfig | None = None
        self._is_read = False

    def of(self, stem: str, rank: int) -> tuple[float | None, tuple[str, ...]]:
        """The scale of one adapter; None where nothing tells it.

        Args:
            stem: the name of the adapted module.
            rank: r.

        Returns:
            The scale, and the tensors that it was read from.

        Raises:
            CheckpointError: the file beside the checkpoint cannot be read.
        """
        name = f"{stem}.alpha"
        info = self._checkpoint.tensors.get(name)
        if info is not None and info.numel == 1:
            alpha = float(self._checkpoint.read(name).reshape(()))
            return (alpha / rank if alpha > 0 else None), (name,)
        recorded = self._checkpoint.adapter_alpha
        if recorded is not None:
            return recorded / rank, ()
        if not self._is_read:
            self._config, self._is_read = read_adapter_config(self._checkpoint.path), True
        return (None if self._config is None else self._config.scaling(stem, rank)), ()


def find_adapter(
    name: str, infos: Mapping[str, TensorInfo], scaling: AdapterScaling
) -> Match | None:
    """Put the factors of an adapter together; None where a tensor is no part of one.

    Args:
        name: of a tensor.
        infos: all tensors.
        scaling: the scale of adapters.
    """
    kind = _kind_of(name)
    if kind is None:
        return None
    found = (
        _pair(name, infos, scaling)
        or _hadamard(name, infos, scaling)
        or _kronecker(name, infos, scaling)
    )
    if found is not None:
        return found
    what = "an adapter" if kind == "another kind" else f"an adapter ({kind})"
    return Match.without_weight((name,), Leftover(reason=f"a part of {what}: no layer's weight"))


def may_be_adapter(name: str) -> bool:
    """Whether a name holds a word of adapters: most are passed over at once."""
    return any(one in name for one in _HINTS)


def _kind_of(name: str) -> str | None:
    """The kind of adapter that a name belongs to; None where it belongs to none."""
    if not may_be_adapter(name):
        return None
    parts = name.split(".")
    for kind, pattern in _KINDS:
        if any(pattern.fullmatch(part) for part in parts):
            return kind
    return None


def _pair(name: str, infos: Mapping[str, TensorInfo], scaling: AdapterScaling) -> Match | None:
    for pair in _PAIRS:
        for end in pair:
            start = name.rfind(end)
            head, tail = name[:start], name[start + len(end) :]
            is_whole = end.startswith("_") or not head or head.endswith(".")
            if start < 0 or not is_whole or tail[:1] not in {"", "."}:
                continue
            first, second = (f"{head}{one}{tail}" for one in pair)
            if first in infos and second in infos:
                return _product(head, tail, infos[first], infos[second], infos, scaling)
    return None


def _product(
    head: str,
    tail: str,
    first: TensorInfo,
    second: TensorInfo,
    infos: Mapping[str, TensorInfo],
    scaling: AdapterScaling,
) -> Match:
    stem = head.removesuffix(".")
    names: tuple[str, ...] = (first.name, second.name)
    diagonal = infos.get(f"{head}lora_E{tail}")
    middle = f"{head}lora_mid{tail}"
    reason = _misfit(first, second, diagonal)
    if middle in infos:
        names, reason = (*names, middle), "factors of an adapted convolution with one between them"
    if reason is not None:
        return Match.without_weight(names, Leftover(reason=f"{reason}: parts of an adapter"))
    rank = first.shape[0]
    scale, read = scaling.of(stem, rank)
    adapter = tail.removesuffix(".weight").strip(".")
    product = "B A" if diagonal is None else "B diag(E) A"
    note = (
        f"the product {product} of an adapter without its scale alpha / r, which is not on record"
        if scale is None
        else f"the product (alpha / r) {product} of an adapter, alpha / r = {scale:g}"
    )
    magnitude = _magnitude(head, tail, infos)
    if magnitude is not None:
        note += f"; DoRA: the update needs the adapted weight and the magnitude {magnitude} too"
    if diagonal is not None:
        names = (*names, diagonal.name)
    weight = Weight(
        name=f"{stem}.lora" + (f"[{adapter}]" if adapter not in {"", "default"} else ""),
        shape=(second.shape[0], math.prod(first.shape[1:])),
        recipe=Recipe(
            form="product",
            sources=(second.name, first.name, *names[2:]),
            factor=1.0 if scale is None else scale,
        ),
        kind="lora",
        note=note,
    )
    return Match(weight=weight, names=(*names, *read), leftovers=_applied(read))


def _applied(read: tuple[str, ...]) -> dict[str, Leftover]:
    reason = "alpha of an adapter, applied to its product"
    return dict.fromkeys(read, Leftover(reason=reason, role="aside"))


def _magnitude(head: str, tail: str, infos: Mapping[str, TensorInfo]) -> str | None:
    vector = f"{head}lora_magnitude_vector"
    candidates = (vector, vector + tail, vector + tail.removesuffix(".weight"), f"{head}dora_scale")
    return next((one for one in candidates if one in infos), None)


def _misfit(first: TensorInfo, second: TensorInfo, diagonal: TensorInfo | None) -> str | None:
    """Why two factors make no matrix product."""
    if not (first.is_floating and second.is_floating and first.numel and second.numel):
        return "a factor without floating-point entries"
    if len(first.shape) < 2 or len(second.shape) < 2 or second.shape[1] != first.shape[0]:
        return "factors whose shapes do not fit"
    if math.prod(first.shape[2:]) > 1 or math.prod(second.shape[2:]) > 1:
        return "factors of an adapted convolution"
    if diagonal is not None and (not diagonal.is_floating or diagonal.numel != first.shape[0]):
        return "factors whose diagonal does not fit"
    return None


def _hadamard(name: str, infos: Mapping[str, TensorInfo], scaling: AdapterScaling) -> Match | None:
    """``(A B) * (C D)``: the factors of LoHa."""
    head = name.rpartition(".")[0]
    prefix = f"{head}." if head else ""
    factors = [infos.get(prefix + end) for end in _HADAMARD]
    if f"{prefix}hada_t1" in infos or f"{prefix}hada_t2" in infos:
        return None
    a, b, c, d = factors
    if a is None or b is None or c is None or d is None or not _are_matrices(a, b, c, d):
        return None
    fits = a.shape[1] == b.shape[0] and c.shape[1] == d.shape[0]
    shape = (a.shape[0], math.prod(b.shape[1:]))
    if not fits or shape != (c.shape[0], math.prod(d.shape[1:])):
        return None
    sources = tuple(one.name for one in (a, b, c, d))
    scale, read = scaling.of(head, b.shape[0])
    return _multiplied(
        head, shape, scale, read, Recipe(form="hadamard", sources=sources), "LoHa: (A B) ∘ (C D)"
    )


def _kronecker(name: str, infos: Mapping[str, TensorInfo], scaling: AdapterScaling) -> Match | None:
    """The Kronecker product of LoKr, each factor whole or a product of two."""
    head = name.rpartition(".")[0]
    prefix = f"{head}." if head else ""
    if f"{prefix}lokr_t2" in infos:
        return None
    factors = []
    for which in ("lokr_w1", "lokr_w2"):
        whole = infos.get(prefix + which)
        parts = [infos.get(f"{prefix}{which}_{end}") for end in "ab"]
        found = [whole] if whole is not None else [one for one in parts if one is not None]
        if len(found) != (1 if whole is not None else 2) or not _are_matrices(*found):
            return None
        if len(found) > 1 and found[0].shape[1] != found[1].shape[0]:
            return None
        factors.append(found)
    one, two = ((each[0].shape[0], math.prod(each[-1].shape[1:])) for each in factors)
    ranks = [each[1].shape[0] for each in factors if len(each) > 1]
    scale, read = scaling.of(head, ranks[-1]) if ranks else (1.0, ())
    alpha = f"{prefix}alpha"
    if not ranks and alpha in infos:
        read = (alpha,)
    sources = tuple(part.name for each in factors for part in each)
    recipe = Recipe(form="kronecker", sources=sources, split=len(factors[0]))
    shape = (one[0] * two[0], one[1] * two[1])
    return _multiplied(head, shape, scale, read, recipe, "LoKr: the Kronecker product")


def _multiplied(
    head: str,
    shape: tuple[int, int],
    scale: float | None,
    read: tuple[str, ...],
    recipe: Recipe,
    what: str,
) -> Match:
    """An update of an adapter that is formed."""
    if math.prod(shape) > _MOST_ENTRIES:
        reason = f"a part of an adapter ({what}) of {shape[0]:,} × {shape[1]:,}: too large to form"
        return Match.without_weight(recipe.sources, Leftover(reason=reason))
    known = "its scale alpha / r is not on record" if scale is None else f"alpha / r = {scale:g}"
    factor = 1.0 if scale is None else scale
    weight = Weight(
        name=f"{head}.lora" if head else "lora",
        shape=shape,
        recipe=Recipe(form=recipe.form, sources=recipe.sources, split=recipe.split, factor=factor),
        kind="lora",
        note=f"the update of an adapter ({what}); {known}",
    )
    return Match(weight=weight, names=(*recipe.sources, *read), leftovers=_applied(read))


def _are_matrices(*infos: TensorInfo) -> bool:
    return all(
        one.is_floating and one.numel and len(one.shape) >= 2 and math.prod(one.shape[2:]) <= 1
        for one in infos
    )
