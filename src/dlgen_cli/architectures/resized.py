"""MobileNetV2 on small images: they are resized and normalized as ImageNet's were.

Imported late: torchvision takes long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import MobileNetV2

from dlgen_cli.architectures.fixed_normalization import FixedNormalization

#: Mean and standard deviation of ImageNet's channels, as torchvision's weights were trained with.
_MEANS = (0.485, 0.456, 0.406)
_DEVIATIONS = (0.229, 0.224, 0.225)


class ResizedMobileNetV2(MobileNetV2):  # type: ignore[misc]
    """torchvision's MobileNetV2 behind a resize and a normalization that nothing trains.

    Neither has an entry in the state dict, so that weights for ImageNet fit as they are.

    Attributes:
        image_size: pixels on each side of what the first convolution sees.
        mirrored: whether pooled features are averaged with those of the mirrored image.
        normalization: of the resized pixels.
        taps: further linear maps to the logits, of the pooled outputs of blocks, by their number.
    """

    def __init__(
        self,
        *,
        image_size: int,
        mirrored: bool = False,
        taps: Sequence[int] = (),
        num_classes: int,
        **arguments: Any,
    ) -> None:
        """Make the network.

        Args:
            image_size: at least 1.
            mirrored: average pooled features over both views.
            taps: numbers of blocks in ``features``, from 0, ascending, the last one left out.
            num_classes: number of logits.
            **arguments: of torchvision's constructor.
        """
        super().__init__(num_classes=num_classes, **arguments)
        self.image_size = image_size
        self.mirrored = mirrored
        self.normalization = FixedNormalization(_MEANS, _DEVIATIONS)
        if taps:
            widths = {number: _channels(self.features[number]) for number in taps}
            self.taps = nn.ModuleDict(
                {
                    str(number): nn.Linear(width, num_classes, bias=False)
                    for number, width in widths.items()
                }
            )
        self._numbers = tuple(taps)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            x: pixels in [0, 1], shape ``(n, 3, height, width)``.

        Returns:
            Shape ``(n, classes)``.
        """
        size = (self.image_size, self.image_size)
        x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        pooled = self._pooled(self.normalization(x))
        if self.mirrored:
            other = self._pooled(self.normalization(torch.flip(x, (3,))))
            pooled = [(one + two) * 0.5 for one, two in zip(pooled, other, strict=True)]
        logits: Tensor = self.classifier(pooled[-1])
        for number, one in zip(self._numbers, pooled, strict=False):
            logits = logits + self.taps[str(number)](one)
        return logits

    def _pooled(self, x: Tensor) -> list[Tensor]:
        """Mean over the positions of each tapped block's output, and of the last one's."""
        found = []
        for number, block in enumerate(self.features):
            x = block(x)
            if number in self._numbers:
                found.append(_mean(x))
        return [*found, _mean(x)]


def _mean(x: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1)


def _channels(block: nn.Module) -> int:
    """Channels of a block's output: those of its last convolution."""
    return [part.out_channels for part in block.modules() if isinstance(part, nn.Conv2d)][-1]
