"""What the moving part of a network reads of a sample, evaluated once where memory allows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from dlgen_cli.predictors.evaluation import as_inputs

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.predictors.folded_network import SplitNetwork

_MOST_BYTES = 1 << 32


class SampleFeatures:
    """The features of a sample's examples, by their positions in it.

    Attributes:
        is_kept: whether they are evaluated once, at the first use, and kept.
    """

    def __init__(
        self,
        network: SplitNetwork,
        images: Tensor,
        *,
        scale: float,
        device: torch.device,
        batch: int,
        uses: int,
    ) -> None:
        """Decide whether to keep them.

        Args:
            network: cut before what moves.
            images: the sample, on the CPU.
            scale: multiplies every pixel.
            device: where to compute.
            batch: examples that are evaluated at a time.
            uses: how many examples will be asked for in all, with repetitions.
        """
        self._network = network
        self._images = images
        self._scale = scale
        self._device = device
        self._batch = batch
        self._kept: tuple[Tensor, ...] | None = None
        self.is_kept = network.backbone is not None and uses >= len(images) and self._fits()

    def __call__(self, chosen: Tensor | slice) -> tuple[Any, ...]:
        """The features of some examples."""
        if not self.is_kept:
            return self._evaluate(self._images[chosen])
        if self._kept is None:
            self._kept = self._evaluate_all()
        positions = chosen if isinstance(chosen, slice) else chosen.to(self._device)
        return tuple(one[positions] for one in self._kept)

    def _evaluate(self, images: Tensor) -> tuple[Any, ...]:
        return self._network.features(as_inputs(images, self._device, self._scale))

    def _fits(self) -> bool:
        """Whether all features are tensors of one row an example, and not too many."""
        found = self._evaluate(self._images[:1])
        if not all(isinstance(one, torch.Tensor) and one.shape[:1] == (1,) for one in found):
            return False
        entries = sum(math.prod(one.shape) for one in found)
        return bool(entries * 4 * len(self._images) <= _MOST_BYTES)

    def _evaluate_all(self) -> tuple[Tensor, ...]:
        kept: list[Tensor] = []
        for start in range(0, len(self._images), self._batch):
            part = slice(start, start + self._batch)
            found = self._evaluate(self._images[part])
            if not kept:
                kept = [one.new_empty((len(self._images), *one.shape[1:])) for one in found]
            for whole, one in zip(kept, found, strict=True):
                whole[part] = one
        return tuple(kept)
