"""The tensors of a run: what is trained on, what is held out, what is tested on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlgen_cli.errors import UsageError
from dlgen_cli.training import regimes
from dlgen_cli.training.data import input_scale, load_source
from dlgen_cli.training.seeds import generator

if TYPE_CHECKING:
    from dlgen_cli.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """Scaled images, float32, shape ``(n, channels, height, width)``, and int64 labels."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> LabelledImages:
        """The same on a device."""
        return LabelledImages(images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExamples:
    """All examples of a run, on the CPU.

    Attributes:
        train: the ``m`` examples trained on, after the regime; every image has norm at most 1.
        holdout: real examples that are never trained on, with their real labels.
        test: the source's test set, with its real labels.
        indices: where each training example stands in the source; -1 for a synthetic one.
        altered: bool, shape ``(m,)``: the training example is not the real one.
        holdout_indices: where each held-out example stands in the source.
        classes: number of classes.
        scale: the factor applied to the pixels, which were in [0, 1].
    """

    train: LabelledImages
    holdout: LabelledImages
    test: LabelledImages
    indices: Tensor
    altered: Tensor
    holdout_indices: Tensor
    classes: int
    scale: float

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train.images.shape[1:])


def prepare_examples(recipe: Recipe, data_dir: Path | None = None) -> RunExamples:
    """Load the source, set the holdout aside, apply the regime, scale.

    Args:
        recipe: the settings; the same recipe gives the same tensors.
        data_dir: where the source keeps its files, for sources that have files.

    Returns:
        All examples of the run.

    Raises:
        UsageError: the source is unknown, or the holdout leaves nothing to train on.
    """
    source = load_source(recipe.source, data_dir)
    pool = len(source.labels)
    if recipe.holdout >= pool:
        raise UsageError(
            f"--holdout {recipe.holdout} leaves nothing to train on: {recipe.source} has {pool} "
            "training examples.",
            remedy=f"Give at most {pool - 1}.",
        )
    order = torch.randperm(pool, generator=generator(recipe.seed, "holdout"))
    held = order[: recipe.holdout].sort().values
    kept = order[recipe.holdout :].sort().values
    examples = regimes.apply(
        recipe.dataset,
        source.images[kept],
        source.labels[kept],
        source.classes,
        generator(recipe.seed, "regime"),
        adversary=recipe.adversary,
    )
    scale = input_scale(source.images[0].numel())
    synthetic_index = torch.full_like(kept, -1)
    return RunExamples(
        train=LabelledImages(images=examples.images * scale, labels=examples.labels),
        holdout=LabelledImages(images=source.images[held] * scale, labels=source.labels[held]),
        test=LabelledImages(images=source.test_images * scale, labels=source.test_labels),
        indices=torch.where(examples.synthetic, synthetic_index, source.indices[kept]),
        altered=examples.altered,
        holdout_indices=source.indices[held],
        classes=source.classes,
        scale=scale,
    )


def digest(examples: LabelledImages) -> str:
    """SHA-256 of the images' bytes followed by the labels' bytes, as hexadecimal digits."""
    result = hashlib.sha256()
    for tensor in (examples.images, examples.labels):
        result.update(tensor.contiguous().numpy().data)
    return result.hexdigest()
