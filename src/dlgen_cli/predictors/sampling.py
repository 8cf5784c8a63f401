"""One pass over a batch in which every example meets weights of its own, drawn afresh.

For an example ``x`` a layer with weights ``W + s E`` and bias ``c + t e``, the entries of E and e
independent standard normals, gives ``W x + c`` plus Gaussian noise. Two ways to draw it, equal in
distribution for one example and one use of the weights:

- own weights: draw E itself and apply it;
- by the output (local reparametrization; Kingma, Salimans and Welling 2015,
  https://arxiv.org/abs/1506.02557): the noise of different output channels is independent, and
  that of the positions p, q of one channel has covariance ``s^2 <x_p, x_q>``, where ``x_p`` is the
  patch that is read at p. With ``L L^T`` the matrix of these products the noise is ``s L Z``, Z
  standard normal. The paper's independence over positions holds for a single position only;
  here the covariance is kept.

Both are exact but for rounding. Where the deviations differ from entry to entry the covariance of
the positions is another one for each channel: own weights are drawn there, unless there is one
position. Where the rows of W have the noise ``F e``, the patches ``F^T x_p`` take the place of
``x_p``. The second needs a normal for each output instead of one for each
weight. A layer that is called several times keeps its weights: there, always the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dlgen_cli.networks import GraphLayer
from dlgen_cli.networks.layer_kinds import LayerKind, apply_map, kind_of
from dlgen_cli.predictors.deviations import Deviation, Factor, is_zero, output_deviations, perturb

#: Cost of one normal, and of one multiply-add in float64, in multiply-adds in float32.
_NORMAL_COST = 100
_FLOAT64_COST = 2

_Draw = Callable[[str, tuple[int, ...]], Tensor]


@dataclass(slots=True, kw_only=True)
class Noise:
    """The standard normals of one batch, which several passes share.

    Attributes:
        generator: on the device of the batch.
        keeps_all: keep every draw for a further pass; otherwise only what one pass needs twice.
    """

    generator: torch.Generator
    keeps_all: bool
    _kept: dict[str, Tensor] = field(default_factory=dict)

    def normal(self, key: str, shape: tuple[int, ...], *, keep: bool) -> Tensor:
        """The standard normals that ``key`` names; the same ones whenever they were kept."""
        if key in self._kept:
            return self._kept[key]
        device = self.generator.device
        drawn = torch.empty(shape, device=device).normal_(generator=self.generator)
        if keep or self.keeps_all:
            self._kept[key] = drawn
        return drawn


class LayerMap(Protocol):
    """What a folded network applies in the place of its layers."""

    def apply(
        self, layer: GraphLayer, x: Tensor, weight: Tensor, bias: Tensor | None, *, is_shared: bool
    ) -> Tensor:
        """The output of one layer, see `WeightSampler.apply`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSampler:
    """Gives every example of a batch its own Gaussian weights.

    Attributes:
        deviations: of each tensor, by name, on the device of the batch.
        noise: the normals.
    """

    deviations: Mapping[str, Deviation]
    noise: Noise

    def apply(
        self, layer: GraphLayer, x: Tensor, weight: Tensor, bias: Tensor | None, *, is_shared: bool
    ) -> Tensor:
        """The layer's output for every example under weights of its own.

        Args:
            layer: its facts.
            x: float32, shape ``(n, *layer.input_shape)``.
            weight: the mean.
            bias: the mean, or None.
            is_shared: whether the network calls the layer more than once.
        """
        of_weight = self.deviations[layer.weight_name]
        of_bias = 0.0 if bias is None else self.deviations[layer.bias_name or ""]
        if is_zero(of_weight) and is_zero(of_bias):
            return apply_map(layer, x, weight, bias)

        def draw(part: str, shape: tuple[int, ...]) -> Tensor:
            return self.noise.normal(f"{layer.module}.{part}", shape, keep=is_shared)

        kind = kind_of(layer)
        if is_zero(of_weight):
            result = apply_map(layer, x, weight, None)
        elif kind.operator == "matrix" and x.ndim == 2 and not is_shared:
            return _dense(x, weight, bias, of_weight, of_bias, draw)
        elif kind.has_patches:
            result = _by_positions(kind, x, weight, of_weight, draw, is_shared=is_shared)
        else:
            own = perturb(weight, of_weight, draw("weight", (len(x), *weight.shape)))
            result = kind.apply_own(x, own)
        if bias is None:
            return result
        moved = bias
        if not is_zero(of_bias):
            moved = perturb(bias, of_bias, draw("bias", (len(x), *bias.shape)))
        return result.add_(kind.align_bias(moved, result))


def own_weight_entries(layer: GraphLayer, deviation: Deviation, *, is_shared: bool) -> int:
    """Entries that the weights of one example occupy, or the covariance of its noise.

    Args:
        layer: its facts.
        deviation: of its weight.
        is_shared: whether the network calls the layer more than once.
    """
    if is_zero(deviation):
        return 0
    entries = math.prod(layer.weight_shape)
    if is_shared:
        return entries
    if not kind_of(layer).has_patches:
        return entries
    channels = layer.weight_shape[0]
    positions = math.prod(layer.output_shape) // channels
    if positions == 1:
        return 1
    if isinstance(deviation, Tensor):
        return entries
    is_cheaper = _output_is_cheaper(channels, entries // channels, positions)
    return positions * positions if is_cheaper else entries


def _dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    of_weight: Deviation,
    of_bias: Deviation,
    draw: _Draw,
) -> Tensor:
    """A matrix at one position: independent outputs of variance ``s^2 |x|^2 + t^2``."""
    mean = functional.linear(x, weight, bias)
    spread = output_deviations(x, of_weight)
    if not is_zero(of_bias):
        other = of_bias.matrix[0] if isinstance(of_bias, Factor) else of_bias
        spread = torch.hypot(spread, torch.as_tensor(other, dtype=x.dtype, device=x.device))
    return mean.addcmul_(spread, draw("output", tuple(mean.shape)))


def _by_positions(
    kind: LayerKind,
    x: Tensor,
    weight: Tensor,
    of_weight: Deviation,
    draw: _Draw,
    *,
    is_shared: bool,
) -> Tensor:
    """A matrix that is applied to one patch for each position; without the bias."""
    if kind.operator == "kernel":
        x = x.contiguous(memory_format=torch.channels_last)
    patches = kind.patches(x)
    count, positions, entries = patches.shape
    channels = weight.shape[0]
    by_output = not is_shared and x.device.type != "mps"
    if isinstance(of_weight, Tensor):
        of_weight = of_weight.flatten(1)
        by_output = by_output and positions == 1
    else:
        by_output = by_output and _output_is_cheaper(channels, entries, positions)
    if by_output:
        mean = kind.to_positions(kind.apply(x, weight, None))
        normals = draw("output", (count, positions, channels))
        if isinstance(of_weight, Tensor):
            spread = output_deviations(patches[:, 0], of_weight)
            result = torch.addcmul(mean, spread[:, None], normals)
        elif isinstance(of_weight, Factor):
            result = torch.baddbmm(mean, gram_root(patches @ of_weight.matrix), normals)
        else:
            result = torch.baddbmm(mean, gram_root(patches), normals, alpha=of_weight)
    else:
        normals = draw("weight", (count, channels, entries))
        if isinstance(of_weight, Factor):
            mean = kind.to_positions(kind.apply(x, weight, None))
            result = torch.baddbmm(mean, patches @ of_weight.matrix, normals.mT)
        else:
            own = perturb(weight.flatten(1), of_weight, normals)
            result = torch.bmm(patches, own.mT)
    return kind.from_positions(x, result)


def _output_is_cheaper(channels: int, entries: int, positions: int) -> bool:
    """Whether noise at the outputs costs less than weights for each example."""
    own = channels * entries * (_NORMAL_COST + positions)
    square = positions * positions
    gram = _FLOAT64_COST * square * (entries + positions)
    return gram + channels * (positions * _NORMAL_COST + square) < own


def gram_root(patches: Tensor) -> Tensor:
    """L with ``L L^T = X X^T`` for the rows X of each example, lower triangular.

    In float64, so that squaring costs no digit of float32. Patches of zeros or equal ones make
    the product singular: ``8 P 2^-53`` of its largest diagonal entry is added to the diagonal,
    which moves the noise by about what float32 rounds. Where no root is found (the activations
    are not finite) it is NaN, and the example counts as an error.
    """
    rows = patches.to(torch.float64)
    gram = torch.bmm(rows, rows.mT)
    diagonal = gram.diagonal(dim1=1, dim2=2)
    shift = diagonal.amax(dim=1, keepdim=True) * (patches.shape[1] * 2.0**-50)
    diagonal.add_(shift + torch.finfo(torch.float64).tiny)
    found, failed = torch.linalg.cholesky_ex(gram)
    root: Tensor = found.to(patches.dtype)
    return root.masked_fill_((failed != 0)[:, None, None], math.nan)
