"""The label regimes, as pure functions of images, labels and a generator.

Each takes ``m`` real examples and returns ``m`` examples in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Adversary = Literal["shift", "uniform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a regime trains on.

    Attributes:
        images: shape ``(m, channels, height, width)``, of the real images' type.
        labels: int64, shape ``(m,)``.
        altered: bool, shape ``(m,)``: the example is not the real one.
        synthetic: bool, shape ``(m,)``: the image was drawn at random.
    """

    images: Tensor
    labels: Tensor
    altered: Tensor
    synthetic: Tensor


def standard(images: Tensor, labels: Tensor) -> Examples:
    """The real examples as they are."""
    none = torch.zeros(len(labels), dtype=torch.bool)
    return Examples(images=images, labels=labels, altered=none, synthetic=none)


def random(images: Tensor, labels: Tensor, classes: int, generator: torch.Generator) -> Examples:
    """As many random pairs: every pixel uniform in [0, 1], every label uniform.

    Pixels stored in uint8 are uniform over their 256 levels.

    Args:
        images: the real images; their shape and type alone are used.
        labels: the real labels; their number alone is used.
        classes: number of classes, at least 1.
        generator: the source of randomness, on the CPU.

    Returns:
        ``m`` synthetic examples.
    """
    every = torch.ones(len(labels), dtype=torch.bool)
    return Examples(
        images=_random_pixels(images, generator),
        labels=torch.randint(0, classes, labels.shape, generator=generator),
        altered=every,
        synthetic=every,
    )


def mixed_random(
    images: Tensor, labels: Tensor, classes: int, generator: torch.Generator
) -> Examples:
    """Half of the real examples (``m // 2``, chosen at random) replaced by random pairs.

    Args:
        images: the real images, shape ``(m, channels, height, width)``.
        labels: the real labels, shape ``(m,)``.
        classes: number of classes, at least 1.
        generator: the source of randomness, on the CPU.

    Returns:
        ``m`` examples, ``m // 2`` of them synthetic.
    """
    chosen = _random_half(len(labels), generator)
    noise = random(images[chosen], labels[chosen], classes, generator)
    mixed_images, mixed_labels = images.clone(), labels.clone()
    mixed_images[chosen], mixed_labels[chosen] = noise.images, noise.labels
    return Examples(images=mixed_images, labels=mixed_labels, altered=chosen, synthetic=chosen)


def mixed_adversarial(
    images: Tensor,
    labels: Tensor,
    classes: int,
    generator: torch.Generator,
    *,
    adversary: Adversary = "shift",
) -> Examples:
    """Half of the real examples (``m // 2``, chosen at random) given a wrong label.

    Args:
        images: the real images, shape ``(m, channels, height, width)``; kept as they are.
        labels: the real labels, shape ``(m,)``.
        classes: number of classes ``C``, at least 2.
        generator: the source of randomness, on the CPU.
        adversary: ``shift`` turns ``y`` into ``y + 1 mod C``; ``uniform`` draws one of the
            ``C - 1`` wrong labels.

    Returns:
        ``m`` real images, ``m // 2`` of them with a label that is wrong for certain.
    """
    chosen = _random_half(len(labels), generator)
    count = int(chosen.sum())
    if adversary == "shift":
        step = torch.ones(count, dtype=torch.int64)
    else:
        step = torch.randint(1, classes, (count,), generator=generator)
    wrong = labels.clone()
    wrong[chosen] = (labels[chosen] + step) % classes
    return Examples(images=images, labels=wrong, altered=chosen, synthetic=torch.zeros_like(chosen))


_Maker = Callable[[Tensor, Tensor, int, torch.Generator, Adversary], Examples]
_MAKERS: Mapping[str, _Maker] = {
    "standard": lambda images, labels, *_: standard(images, labels),
    "random": lambda *given: random(*given[:-1]),
    "mixed-random": lambda *given: mixed_random(*given[:-1]),
    "mixed-adversarial": lambda *given: mixed_adversarial(*given[:-1], adversary=given[-1]),
}


def apply(
    regime: str,
    images: Tensor,
    labels: Tensor,
    classes: int,
    generator: torch.Generator,
    *,
    adversary: Adversary = "shift",
) -> Examples:
    """Make the examples of one of `dlgen_cli.records.REGIMES`."""
    return _MAKERS[regime](images, labels, classes, generator, adversary)


def _random_pixels(like: Tensor, generator: torch.Generator) -> Tensor:
    if like.dtype == torch.uint8:
        return torch.randint(0, 256, like.shape, generator=generator, dtype=torch.uint8)
    return torch.rand(like.shape, generator=generator)


def _random_half(count: int, generator: torch.Generator) -> Tensor:
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.randperm(count, generator=generator)[: count // 2]] = True
    return chosen
