"""The tensors of a run: what is trained on, what is held out, what is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlgen_cli.datasets import (
    FeatureFile,
    Source,
    SourceHashes,
    Split,
    input_scale,
    load_features,
    open_source,
    scaled,
)
from dlgen_cli.errors import UsageError
from dlgen_cli.training import regimes
from dlgen_cli.training.progress import WorkProgress
from dlgen_cli.training.seeds import generator

if TYPE_CHECKING:
    from dlgen_cli.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceExamples:
    """Examples on the device, as they are stored; batches are scaled when they are taken.

    Attributes:
        stored: images and labels, on the device.
        scale: factor on the pixels.
        memory_format: of the batches.
    """

    stored: Split
    scale: float
    memory_format: torch.memory_format = torch.contiguous_format

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.stored)

    def batch(self, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        """What the network sees of these examples, float32, and their labels."""
        images = scaled(self.stored.images[chosen], self.scale)
        return images.contiguous(memory_format=self.memory_format), self.stored.labels[chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExamples:
    """All examples of a run, on the CPU, as they are stored.

    Attributes:
        train: the ``m`` examples trained on, after the regime.
        holdout: real examples that are never trained on, with their real labels.
        test: the source's test set, with its real labels.
        indices: where each training example stands in the source; -1 for a synthetic one.
        altered: bool, shape ``(m,)``: the training example is not the real one.
        holdout_indices: where each held-out example stands in the source.
        classes: names of the classes.
        source: what the source is, for people.
        source_sha256: digest of all its images; None where not all were decoded.
        scale: the factor on pixels in [0, 1]; with it every image has norm at most 1, unless the
            network takes the pixels as they are and the factor is 1, as for features.
        files: that features were read from; none for images.
    """

    train: Split
    holdout: Split
    test: Split
    indices: Tensor
    altered: Tensor
    holdout_indices: Tensor
    classes: tuple[str, ...]
    source: str
    source_sha256: str | None
    scale: float
    files: tuple[FeatureFile, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train.images.shape[1:])

    def on(
        self, part: Split, device: torch.device, memory_format: torch.memory_format
    ) -> DeviceExamples:
        """A part of the examples on the device."""
        moved = Split(images=part.images.to(device), labels=part.labels.to(device))
        return DeviceExamples(stored=moved, scale=self.scale, memory_format=memory_format)


def prepare_examples(
    recipe: Recipe, data_dir: Path | None = None, progress: WorkProgress | None = None
) -> RunExamples:
    """Open the source, set the holdout aside, take m examples, apply the regime.

    Images in files are decoded only where the run uses them.

    Args:
        recipe: the settings; the same recipe gives the same tensors.
        data_dir: where the source keeps its files, for sources that have files.
        progress: called as images are decoded.

    Returns:
        All examples of the run.

    Raises:
        UsageError: the source is unknown, or holdout and m ask for more than there is.
        DataError: the source's files are missing or damaged.
    """
    source = _open(recipe, data_dir, progress)
    held, kept = _shares(recipe, len(source.indices))
    chosen = torch.cat([kept, held])
    both, test = source.take(chosen), source.test_set()
    taken, holdout = both.take(slice(len(kept))), both.take(slice(len(kept), None))
    examples = regimes.apply(
        recipe.dataset,
        taken.images,
        taken.labels,
        len(source.classes),
        generator(recipe.seed, "regime"),
        adversary=recipe.adversary,
    )
    is_scaled = recipe.image_size is None and not recipe.features
    synthetic_index = torch.full_like(kept, -1)
    return RunExamples(
        train=Split(images=examples.images, labels=examples.labels),
        holdout=holdout,
        test=test,
        indices=torch.where(examples.synthetic, synthetic_index, source.indices[kept]),
        altered=examples.altered,
        holdout_indices=source.indices[held],
        classes=source.classes,
        source=source.name,
        source_sha256=SourceHashes(source, chosen, both, test).sha256_if_read,
        scale=input_scale(taken.images[0].numel()) if is_scaled else 1.0,
        files=source.files,
    )


def _open(recipe: Recipe, data_dir: Path | None, progress: WorkProgress | None) -> Source:
    if recipe.features:
        return load_features([Path(one) for one in recipe.features])
    return open_source(recipe.source, data_dir, progress)


def _shares(recipe: Recipe, pool: int) -> tuple[Tensor, Tensor]:
    """Indices in the pool of the held-out examples and of those that the regime is applied to."""
    if recipe.holdout >= pool:
        raise UsageError(
            f"--holdout {recipe.holdout} leaves nothing to train on: {recipe.source} has {pool} "
            "training examples.",
            remedy=f"Give at most {pool - 1}.",
        )
    left = pool - recipe.holdout
    if recipe.m is not None and recipe.m > left:
        raise UsageError(
            f"--m {recipe.m} asks for more than the {left} training examples that {recipe.source} "
            f"has beside a holdout of {recipe.holdout}.",
            remedy=f"Give at most {left}.",
        )
    order = torch.randperm(pool, generator=generator(recipe.seed, "holdout"))
    count = left if recipe.m is None else recipe.m
    held = order[: recipe.holdout].sort().values
    kept = order[recipe.holdout : recipe.holdout + count].sort().values
    return held, kept
