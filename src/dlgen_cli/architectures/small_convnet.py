"""A small residual network for small images, with group normalization: no batch statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlgen_cli.architectures.torchvision_models import zero_module
from dlgen_cli.errors import UsageError

_GROUPS = 8
_STAGES = 3


class _Stage(nn.Module):
    """A convolution of stride 2 that doubles the channels, and a residual one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(_GROUPS, 2 * channels)
        self.conv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(_GROUPS, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size and double the channels."""
        x = torch.relu(self.norm1(self.down(x)))
        return torch.relu(x + self.norm2(self.conv(x)))


class SmallConvNet(nn.Module):
    """A stem and three stages of two 3 x 3 convolutions, a global mean, and a linear head.

    Every convolution is followed by group normalization (Wu and He 2018,
    https://arxiv.org/abs/1803.08494) with 8 groups, whose gains and biases are parameters like all
    others: the network is a function of its parameters alone. With width 32 and 10 classes:
    1,150,000 parameters.

    Attributes:
        width: channels of the stem; the stages have two, four and eight times as many.
    """

    def __init__(self, *, width: int = 16, num_classes: int = 10, channels: int = 3) -> None:
        """Make the network.

        Args:
            width: a multiple of 8.
            num_classes: number of logits, at least 1.
            channels: of the images, at least 1.
        """
        super().__init__()
        self.width = width
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.stages = nn.ModuleList(_Stage(width << stage) for stage in range(_STAGES))
        self.head = nn.Linear(width << _STAGES, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            x: shape ``(n, channels, height, width)``, at least 8 x 8 pixels.

        Returns:
            The logits, shape ``(n, num_classes)``.
        """
        x = torch.relu(self.norm(self.stem(x)))
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def small_convnet(*, width: int = 16, num_classes: int = 10, channels: int = 3) -> nn.Module:
    """Make a `SmallConvNet`; all parameters are zero.

    Raises:
        UsageError: an argument is out of its range.
    """
    if width < 1 or width % _GROUPS or num_classes < 1 or channels < 1:
        raise UsageError(
            f"The small_convnet has width {width}, num_classes {num_classes} and channels "
            f"{channels}.",
            remedy=f"Take a width that is a multiple of {_GROUPS}, and at least 1 of the others.",
        )
    return zero_module(
        lambda: SmallConvNet(width=width, num_classes=num_classes, channels=channels)
    )
