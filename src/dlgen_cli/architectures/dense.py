"""Heads over rows of features: a linear map, or hidden layers of ReLU before it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from dlgen_cli.architectures.row_normalization import RowNormalization
from dlgen_cli.architectures.torchvision_models import zero_module
from dlgen_cli.errors import TensorError, UsageError

Normalization = Literal["none", "rows"]
#: The names that the table of architectures has for them.
HEADS = ("dense", "linear")
_MOST_LAYERS = 100


class Dense(nn.Module):
    """``depth`` affine maps with ReLU between them, behind a normalization of the rows.

    The maps are ``layers.0`` to ``layers.{depth-1}``, each with weight and bias.

    Attributes:
        inputs: entries of a row.
        normalization: what each row passes first.
        layers: the maps, in the order in which they are applied.
    """

    def __init__(self, *, inputs: int, widths: Sequence[int], normalization: nn.Module) -> None:
        """Make the maps from ``inputs`` through all ``widths``, the last of them the logits."""
        super().__init__()
        self.inputs = inputs
        self.normalization = normalization
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sizes))
        self.register_forward_pre_hook(_check_rows)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits, shape ``(n, classes)``, of rows ``(n, inputs)``.

        Raises:
            TensorError: a row has another number of entries.
        """
        x = self.normalization(x)
        for position, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if position else x)
        return x


def dense(
    *,
    inputs: int,
    num_classes: int = 2,
    width: int = 512,
    depth: int = 2,
    normalization: Normalization = "none",
    parts: Sequence[int] | None = None,
) -> nn.Module:
    """Make a perceptron over rows of features.

    Args:
        inputs: entries of a row, at least 1.
        num_classes: number of logits, at least 1.
        width: of the hidden layers, at least 1.
        depth: number of maps, 1 to 100; 1 is a linear map.
        normalization: ``rows`` brings each part of a row to a root mean square of 1.
        parts: entries of the parts, ``inputs`` together; None for one part.

    Returns:
        The module, on the CPU, in float32, with all parameters zero.

    Raises:
        UsageError: an argument is out of its range.
    """
    sizes = [inputs] if parts is None else list(parts)
    least = min(inputs, num_classes, width, depth, *sizes)
    if least < 1 or sum(sizes) != inputs or depth > _MOST_LAYERS:
        raise UsageError(
            f"A dense network has inputs {inputs}, classes {num_classes}, width {width}, depth "
            f"{depth} and parts {sizes}.",
            remedy="Take at least 1 of each, parts that make the inputs together, and at most "
            f"{_MOST_LAYERS} layers.",
        )
    if normalization not in get_args(Normalization):
        raise UsageError(
            f"The normalization {normalization!r} is unknown.",
            remedy=f"Choose one of: {', '.join(get_args(Normalization))}.",
        )
    front = RowNormalization(sizes) if normalization == "rows" else nn.Identity()
    widths = [*[width] * (depth - 1), num_classes]
    return zero_module(lambda: Dense(inputs=inputs, widths=widths, normalization=front))


def linear(
    *,
    inputs: int,
    num_classes: int = 2,
    normalization: Normalization = "none",
    parts: Sequence[int] | None = None,
) -> nn.Module:
    """Make a linear map over rows of features; see `dense`."""
    return dense(
        inputs=inputs,
        num_classes=num_classes,
        depth=1,
        normalization=normalization,
        parts=parts,
    )


def sizes_of(tensors: Mapping[str, Tensor], *, hidden: bool) -> dict[str, int]:
    """What the shapes of ``layers.N.weight`` tell of the constructor's arguments.

    Args:
        tensors: a state dict.
        hidden: whether there are hidden layers, with a width and a depth.
    """
    shapes = {name: tuple(one.shape) for name, one in tensors.items() if one.ndim == 2}
    first = shapes.get("layers.0.weight")
    if first is None:
        return {}
    depth = sum(name.startswith("layers.") for name in shapes)
    sizes = {"width": first[0], "depth": depth} if hidden else {}
    return {"inputs": first[1], **sizes}


def _check_rows(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    """Refuse rows of another size; a hook, so that `Dense.forward` traces without branches."""
    inputs, rows = cast("Dense", module).inputs, arguments[0]
    if rows.ndim != 2 or rows.shape[1] != inputs:
        raise TensorError(
            f"The network takes rows of {inputs} features; the input has shape "
            f"{tuple(rows.shape)}.",
            remedy="Give the features that it was trained on, in the same order of files.",
        )
