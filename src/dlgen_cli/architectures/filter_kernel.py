"""A bank of fixed filters below an infinitely wide layer of random features: a kernel machine.

A linear head with independent standard normal weights on infinitely many random features is a
Gaussian process; with random Fourier features of the blocks ``h_b`` of `filter_bank` its
covariance is ``k(x, x') = mean_b exp(<h_b(x), h_b(x')> - 1)``, so that ``k(x, x) = 1`` (Rahimi and
Recht 2007, "Random features for large-scale kernel machines"; Neal 1996 for the limit). No data
enter it.

A function drawn from it is ``f(x) = <phi(x), v> + r(x)``: ``phi(x) = L^-1 k(Z, x)`` with
``L L^T = k(Z, Z) + e I`` for any landmarks Z, v standard normal, and r independent of v, of
variance ``1 - |phi(x)|^2``. v are the process's own values at Z, with a little noise e, whitened. A
posterior that moves v alone therefore has the divergence of v's Gaussians, whatever Z is, and Z may
come from the sample (Titsias 2009, "Variational learning of inducing variables in sparse Gaussian
processes"; Seeger 2002, "PAC-Bayesian generalisation error bounds for Gaussian process
classification", JMLR 3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dlgen_cli.architectures.filter_bank import FilterFeatures, require_bank_sizes
from dlgen_cli.architectures.torchvision_models import zero_module

#: Variance of the noise at the landmarks.
_NOISE = 1e-3
_BATCH = 250


class FilterKernel(nn.Module):
    """The mean function of a posterior: a linear head on ``phi``; see the module's text.

    Attributes:
        bank: the blocks of features.
        landmarks: images, shape ``(M, *shape)``, scaled as the network's inputs are.
        head: v for each class, shape ``(classes, M)``, no bias; the only parameter.
    """

    landmarks: Tensor

    def __init__(
        self,
        *,
        landmarks: int,
        width: int = 64,
        num_classes: int = 10,
        channels: int = 3,
        pixels: int = 32,
    ) -> None:
        """Make the network.

        Args:
            landmarks: M, at least 1.
            width: random filters of each size.
            num_classes: number of logits.
            channels: of the images.
            pixels: of the square images, on each side.
        """
        super().__init__()
        self.bank = FilterFeatures(width=width, channels=channels, pixels=pixels)
        shape = (landmarks, channels, pixels, pixels)
        self.register_buffer("landmarks", torch.full(shape, 0.0))
        self.head = nn.Linear(landmarks, num_classes, bias=False)
        self._known: tuple[Tensor, list[Tensor], Tensor] | None = None

    def features(self, x: Tensor) -> Tensor:
        """``phi(x)``, shape ``(n, M)``; rows are at most of length 1 but for rounding."""
        blocks, inverse = self._landmark_blocks()
        products = self._kernel(self.bank(x), blocks)
        return products @ inverse

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of the mean function, shape ``(n, num_classes)``."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def _landmark_blocks(self) -> tuple[list[Tensor], Tensor]:
        """The landmarks' blocks and ``L^-T``, computed once for the same landmarks."""
        if self._known is None or not torch.equal(self._known[0], self.landmarks):
            parts = [self.bank(part) for part in torch.split(self.landmarks, _BATCH)]
            blocks = [torch.cat(block) for block in zip(*parts, strict=True)]
            square = self._kernel(blocks, blocks).double()
            square += _NOISE * torch.eye(len(square), dtype=torch.float64)
            lower = torch.linalg.cholesky(square)
            eye = torch.eye(len(square), dtype=torch.float64)
            inverse = torch.linalg.solve_triangular(lower, eye, upper=False).T
            self._known = (self.landmarks.clone(), blocks, inverse.float().contiguous())
        return self._known[1], self._known[2]

    def _kernel(self, left: list[Tensor], right: list[Tensor]) -> Tensor:
        pairs = zip(left, right, strict=True)
        parts = [torch.exp(one @ other.T - 1) for one, other in pairs]
        return torch.stack(parts).mean(0)


def filter_kernel(**arguments: Any) -> nn.Module:
    """Make a `FilterKernel`; the head is zero, and the landmarks are black images.

    Raises:
        UsageError: an argument is out of its range.
    """
    require_bank_sizes("filter_kernel", arguments)
    return zero_module(lambda: FilterKernel(**arguments))
