"""MobileNetV2, torchvision's, with a stem for ImageNet or for images of 32 x 32 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from dlgen_cli.architectures.torchvision_models import torchvision_models, zero_module
from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

Stem = Literal["imagenet", "medium", "small"]

#: Expansion, channels, blocks and stride of each stage (Sandler and others 2018, table 2).
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
#: Pixels on a side that images are resized to at most.
LARGEST_IMAGE = 4096
_LAST_BLOCK = 18
_KEPT_SMALL = 2  # the stages that keep the size of a small image


def mobilenet_v2(
    *,
    num_classes: int = 1000,
    width_mult: float = 1.0,
    dropout: float = 0.0,
    stem: Stem = "imagenet",
    image_size: int | None = None,
    mirrored: bool = False,
    taps: Sequence[int] = (),
) -> nn.Module:
    """Make a MobileNetV2.

    All stems have the same tensors, so that state dicts are interchangeable. ``medium`` takes
    stride 1 instead of 2 in the first convolution and reduces 32 x 32 to 2 x 2; ``small`` takes
    it in the first stage of stride 2 as well and reduces 32 x 32 to 4 x 4, where ``imagenet``
    reduces 224 x 224 to 7 x 7.

    With an ``image_size`` the module takes pixels in [0, 1] of any size, resizes them (bilinear)
    and normalizes them as weights for ImageNet expect it; see `ResizedMobileNetV2`.

    Args:
        num_classes: number of logits, at least 1.
        width_mult: factor on all channels, above 0.
        dropout: rate before the classifier; torchvision's own default is 0.2.
        stem: ``imagenet``, ``medium`` or ``small``.
        image_size: pixels on each side, 1 to 4,096; None takes images as they are.
        mirrored: average the pooled features with those of the mirrored image; with an
            ``image_size``.
        taps: blocks of ``features`` whose pooled outputs have linear maps to the logits too,
            ascending, from 0 to 17; with an ``image_size``.

    Returns:
        The module, on the CPU, in float32, with all parameters zero.

    Raises:
        UsageError: an argument is out of its range.
    """
    if stem not in get_args(Stem):
        raise UsageError(
            f"The mobilenet_v2 has no stem {stem!r}.",
            remedy=f"Choose one of: {', '.join(get_args(Stem))}.",
        )
    if num_classes < 1 or width_mult <= 0 or not 0 <= dropout < 1:
        raise UsageError(
            f"The mobilenet_v2 has num_classes {num_classes}, width_mult {width_mult} and "
            f"dropout {dropout}.",
            remedy="Take at least 1 class, a factor above 0, and a rate from 0 to less than 1.",
        )
    if image_size is not None and not 1 <= image_size <= LARGEST_IMAGE:
        raise UsageError(
            f"The mobilenet_v2 has image_size {image_size}.",
            remedy=f"Take a size from 1 to {LARGEST_IMAGE:,}.",
        )
    _require_views(image_size, taps, mirrored=mirrored)
    is_small = stem == "small"

    def construct() -> nn.Module:
        stages = [
            [expansion, channels, blocks, 1 if is_small and position < _KEPT_SMALL else stride]
            for position, (expansion, channels, blocks, stride) in enumerate(_STAGES)
        ]
        arguments: dict[str, Any] = {
            "num_classes": num_classes,
            "width_mult": width_mult,
            "dropout": dropout,
            "inverted_residual_setting": stages,
        }
        models = torchvision_models()
        if image_size is not None:
            from dlgen_cli.architectures.resized import ResizedMobileNetV2

            resized = ResizedMobileNetV2(
                image_size=image_size, mirrored=mirrored, taps=taps, **arguments
            )
            return cast("nn.Module", resized)
        return cast("nn.Module", models.MobileNetV2(**arguments))

    network = zero_module(construct)
    if stem != "imagenet":
        first = cast("nn.Conv2d", network.get_submodule("features.0.0"))
        first.stride = (1, 1)
    return network


def _require_views(image_size: int | None, taps: Sequence[int], *, mirrored: bool) -> None:
    fits = list(taps) == sorted(set(taps)) and all(0 <= one < _LAST_BLOCK for one in taps)
    if not fits or (image_size is None and (mirrored or taps)):
        raise UsageError(
            f"The mobilenet_v2 has taps {list(taps)}, mirrored {mirrored} and image_size "
            f"{image_size}.",
            remedy=f"Take ascending blocks from 0 to {_LAST_BLOCK - 1}, and an image_size.",
        )
