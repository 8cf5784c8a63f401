"""MobileNetV2 on small images: they are resized and normalized as ImageNet's were.

Imported late: torchvision takes long.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
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
        normalization: of the resized pixels.
    """

    def __init__(self, *, image_size: int, **arguments: Any) -> None:
        """Make the network.

        Args:
            image_size: at least 1.
            **arguments: of torchvision's constructor.
        """
        super().__init__(**arguments)
        self.image_size = image_size
        self.normalization = FixedNormalization(_MEANS, _DEVIATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            x: pixels in [0, 1], shape ``(n, 3, height, width)``.

        Returns:
            Shape ``(n, classes)``.
        """
        size = (self.image_size, self.image_size)
        x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        logits: Tensor = super().forward(self.normalization(x))
        return logits
