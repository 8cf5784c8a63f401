"""The perceptron of the compression bound: square matrices without biases, ReLU between them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.errors import TensorError, UsageError


class MLP(nn.Module):
    """``h(x) = W_N relu(W_{N-1} ... relu(W_1 x))`` with ``N`` square ``d x d`` matrices.

    There are no biases and no ReLU after the last matrix. The first ``classes`` entries of the
    last layer are the logits. The defaults give 3 * 64 * 64 = 12,288 parameters. They are named
    ``layers.0.weight`` to ``layers.{N-1}.weight`` and start at zero.

    Attributes:
        inputs: entries of one flattened input.
        width: the dimension ``d`` of every matrix.
        depth: the number ``N`` of matrices.
        classes: number of logits.
        layers: the matrices, in the order in which they are applied.
    """

    def __init__(
        self,
        *,
        inputs: int | None = None,
        width: int = 64,
        depth: int = 3,
        classes: int = 10,
    ) -> None:
        """Make the network.

        Args:
            inputs: entries of one flattened input, 1 to ``width``; ``width`` where None. An
                input with fewer entries than ``width`` is padded with zeros.
            width: the dimension of every matrix, at least 1.
            depth: the number of matrices, at least 1.
            classes: number of logits, 1 to ``width``.

        Raises:
            UsageError: a size is out of its range.
        """
        super().__init__()
        self.inputs = width if inputs is None else inputs
        self.width = width
        self.depth = depth
        self.classes = classes
        self._check_sizes()
        self.layers = nn.ModuleList(_square_layer(width) for _ in range(depth))
        self.register_forward_pre_hook(_check_entries)

    def _check_sizes(self) -> None:
        for name, size in (
            ("width", self.width),
            ("depth", self.depth),
            ("classes", self.classes),
            ("inputs", self.inputs),
        ):
            if size < 1:
                raise UsageError(
                    f"The mlp has {name} {size}.", remedy=f"Take a {name} of at least 1."
                )
        for what, size in (("inputs", self.inputs), ("classes", self.classes)):
            if size > self.width:
                raise UsageError(
                    f"The mlp's width {self.width} is smaller than its {size} {what}.",
                    remedy=f"Take a width of at least {max(self.inputs, self.classes)}.",
                )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            x: shape ``(n, ...)`` with ``inputs`` entries for each example.

        Returns:
            The logits, shape ``(n, classes)``.

        Raises:
            TensorError: an example has another number of entries.
        """
        x = torch.flatten(x, 1)
        if self.inputs < self.width:
            x = functional.pad(x, (0, self.width - self.inputs))
        for position, layer in enumerate(self.layers):
            x = layer(x)
            if position < self.depth - 1:
                x = torch.relu(x)
        return x[:, : self.classes]


def _square_layer(width: int) -> nn.Linear:
    # Made without storage: nn.Linear's own initialization would draw from the global generator.
    layer = nn.Linear(width, width, bias=False, device="meta")
    layer.weight = nn.Parameter(torch.zeros(width, width))
    return layer


def _check_entries(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    """Refuse inputs of another size; a hook, so that `MLP.forward` traces without branches."""
    network = cast("MLP", module)
    entries = arguments[0][0].numel() if len(arguments[0]) else network.inputs
    if entries != network.inputs:
        raise TensorError(
            f"The mlp takes {network.inputs} entries for each example; the input has {entries}.",
            remedy=f"Build it with inputs={entries} and a width of at least {entries}.",
        )
