"""Low-rank adapters: two factors that stand for their product.

Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1,
https://arxiv.org/abs/2106.09685: the update of a weight is ``(alpha / r) B A``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlgen_cli.checkpoints import Checkpoint, TensorInfo
from dlgen_cli.checkpoints.adapter_config import AdapterConfig, read_adapter_config
from dlgen_cli.networks.layouts.recipe import Recipe
from dlgen_cli.networks.layouts.weight import Match, Weight

#: What the names of A and B hold, as whole parts between dots.
_PAIRS = (
    ("lora_A", "lora_B"),
    ("lora_embedding_A", "lora_embedding_B"),
    ("lora_down", "lora_up"),
    ("lora.down", "lora.up"),
    ("_lora.down", "_lora.up"),
)


class AdapterScaling:
    """The scale alpha / r of adapters, where it is on record.

    An ``alpha`` beside the factors comes first, then the file that is saved beside them.
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
        if not self._is_read:
            self._config, self._is_read = read_adapter_config(self._checkpoint.path), True
        if self._config is None:
            return None, ()
        return self._config.scaling(rank), ()


def find_adapter(
    name: str, infos: Mapping[str, TensorInfo], scaling: AdapterScaling
) -> Match | None:
    """Put the two factors of an adapter together; None where a tensor is no factor.

    Args:
        name: of a tensor.
        infos: all tensors.
        scaling: the scale of adapters.
    """
    for pair in _PAIRS:
        for end in pair:
            start = name.rfind(end)
            head, tail = name[:start], name[start + len(end) :]
            is_whole = end.startswith("_") or not head or head.endswith(".")
            if start < 0 or not is_whole or tail[:1] not in {"", "."}:
                continue
            first, second = (f"{head}{one}{tail}" for one in pair)
            if first in infos and second in infos:
                stem = head.removesuffix(".")
                return _product(stem, tail, infos[first], infos[second], scaling)
    return None


def _product(
    stem: str, tail: str, first: TensorInfo, second: TensorInfo, scaling: AdapterScaling
) -> Match:
    names = (first.name, second.name)
    reason = _misfit(first, second)
    if reason is not None:
        return Match(weight=None, names=names, reasons=dict.fromkeys(names, reason))
    rank = first.shape[0]
    scale, read = scaling.of(stem, rank)
    adapter = tail.removesuffix(".weight").strip(".")
    note = (
        "the product B A of an adapter without its scale alpha / r, which is not on record"
        if scale is None
        else f"the product (alpha / r) B A of an adapter, alpha / r = {scale:g}"
    )
    weight = Weight(
        name=f"{stem}.lora" + (f"[{adapter}]" if adapter not in {"", "default"} else ""),
        shape=(second.shape[0], math.prod(first.shape[1:])),
        recipe=Recipe(
            form="product",
            sources=(second.name, first.name),
            factor=1.0 if scale is None else scale,
        ),
        kind="lora",
        note=note,
    )
    reasons = dict.fromkeys(read, "alpha of an adapter, applied to its product")
    return Match(weight=weight, names=(*names, *read), reasons=reasons)


def _misfit(first: TensorInfo, second: TensorInfo) -> str | None:
    """Why two factors make no matrix product."""
    if not (first.is_floating and second.is_floating and first.numel and second.numel):
        return "a factor of an adapter without floating-point entries"
    if len(first.shape) < 2 or len(second.shape) < 2 or second.shape[1] != first.shape[0]:
        return "factors of an adapter whose shapes do not fit"
    if math.prod(first.shape[2:]) > 1 or math.prod(second.shape[2:]) > 1:
        return "factors of an adapted convolution: not supported"
    return None
