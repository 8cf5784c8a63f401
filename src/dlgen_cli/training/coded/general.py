"""Coordinates of any network, trained through the projection: quantised, or Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dlgen_cli.predictors.coded.code_file import STEPS_PER_OCTAVE, step_of
from dlgen_cli.predictors.coded.gaussian import EXPONENTS, GaussianCoordinates
from dlgen_cli.predictors.coded.network import CodedNetwork
from dlgen_cli.training.coded.settings import CodedSettings
from dlgen_cli.training.examples import DeviceExamples
from dlgen_cli.training.recipe import Recipe
from dlgen_cli.training.seeds import generator
from dlgen_cli.training.surrogates import (
    bounded_cross_entropy,
    confidence_nats,
    quadratic_bound,
    softmax_error,
)

#: Share of the epochs in which complexity is free: at first it would win against any risk.
_WARM = 0.25
#: Share of the epochs in which the cross-entropy stands for the error; then the softmax does.
_SMOOTH = 0.5
#: Share of the epochs before the rounding of coordinates is real.
_FREE = 0.7
_START_DEVIATION = 0.1
Tick = Callable[[int, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a trainer works on.

    Attributes:
        recipe: epochs, batches, step size, seed.
        settings: the coded ones.
        network: as a function of coordinates.
        train: the examples.
        tick: called with the epoch that is over, and its objective.
    """

    recipe: Recipe
    settings: CodedSettings
    network: CodedNetwork
    train: DeviceExamples
    tick: Tick

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The epoch's batches, in an order that depends on seed and epoch alone."""
        source = generator(self.recipe.seed, "coded-batches", epoch)
        order = torch.randperm(len(self.train), generator=source)
        for part in torch.split(order, self.recipe.batch_size):
            yield self.train.batch(part)

    def constant_nats(self) -> float:
        """``ln(xi(m)/delta)``, of Maurer's theorem."""
        return confidence_nats(len(self.train), self.settings.delta)


def train_levels(task: Task) -> tuple[int, list[int]]:
    """Train quantised coordinates: risk and code length together.

    At first rounding is uniform noise (Balle, Laparra and Simoncelli 2017,
    https://arxiv.org/abs/1611.01704) and the code length that of a Laplace density; at the end the
    rounding is real and its derivative that of the identity (straight-through).

    Returns:
        The exponent of the step, and the multiples.
    """
    exponent = round(STEPS_PER_OCTAVE * math.log2(task.settings.step))
    step = step_of(exponent)
    groups = task.network.projection.groups
    levels = torch.zeros(task.network.projection.dim, requires_grad=True)
    scales = torch.full((len(groups),), -1.0, requires_grad=True)

    def objective(images: Tensor, labels: Tensor, share: float, source: torch.Generator) -> Tensor:
        if share < _WARM:
            return _risk(task.network.logits(levels * step, images), labels, share)
        if share < _FREE:
            used = levels + torch.rand(len(levels), generator=source) - 0.5
        else:
            used = levels + (levels.round() - levels).detach()
        logits = task.network.logits(used * step, images)
        nats = torch.stack(
            [
                laplace_nats(used[group.start : group.start + group.size], scale)
                for group, scale in zip(groups, scales, strict=True)
            ]
        ).sum()
        return quadratic_bound(_risk(logits, labels, share), nats, len(task.train))

    _descend(task, [levels, scales], objective)
    return exponent, [int(level) for level in levels.detach().round().tolist()]


def train_gaussian(task: Task) -> GaussianCoordinates:
    """Train mean and deviations of a Gaussian over the coordinates; one noise for each step.

    The prior's deviation is the best one, ``t^2 = mean(mu^2 + s^2)``, until it is rounded to its
    grid at the end.
    """
    dim = task.network.projection.dim
    mean = torch.zeros(dim, requires_grad=True)
    logs = torch.full((dim,), math.log(_START_DEVIATION), requires_grad=True)

    def objective(images: Tensor, labels: Tensor, share: float, source: torch.Generator) -> Tensor:
        if share < _WARM:
            return _risk(task.network.logits(mean, images), labels, share)
        deviations = logs.exp()
        z = mean + deviations * torch.randn(dim, generator=source)
        scale = (mean.square() + deviations.square()).mean()
        nats = dim / 2 * scale.log() - logs.sum() + task.constant_nats()
        logits = task.network.logits(z, images)
        return quadratic_bound(_risk(logits, labels, share), nats, len(task.train))

    _descend(task, [mean, logs], objective)
    return _on_grid(mean.detach(), logs.detach().exp())


def _on_grid(mean: Tensor, deviations: Tensor) -> GaussianCoordinates:
    scale = (mean.square() + deviations.square()).mean().sqrt().item()
    exponent = min(max(round(2 * math.log2(scale)), EXPONENTS[0]), EXPONENTS[-1])
    unit = 2.0 ** (exponent / 2)
    return GaussianCoordinates(
        mean=mean / unit, spread=deviations / unit, factor=None, exponent=exponent
    )


def _risk(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    if share < _SMOOTH:
        return bounded_cross_entropy(logits, labels)
    return softmax_error(logits, labels)


def laplace_nats(levels: Tensor, log_scale: Tensor) -> Tensor:
    """Code length of whole numbers under a Laplace density, continued to all numbers."""
    rate = (-log_scale).exp()
    size = levels.abs()
    inner = 1 - (-rate / 2).exp() * torch.cosh(rate * size.clamp_max(0.5))
    # beyond 1/2 both ends of the cell lie on one side
    outer_log = -rate * size + torch.log(torch.sinh(rate / 2).clamp_min(1e-12))
    return -torch.where(size < 0.5, inner.clamp_min(1e-12).log(), outer_log).sum()


def _descend(
    task: Task,
    variables: list[Tensor],
    objective: Callable[[Tensor, Tensor, float, torch.Generator], Tensor],
) -> None:
    """Adam with a step size that falls to 0 like a cosine."""
    recipe = task.recipe
    optimizer = torch.optim.Adam(variables, lr=recipe.learning_rate)
    for epoch in range(recipe.epochs):
        source = generator(recipe.seed, "coded-noise", epoch)
        total, count = 0.0, 0
        for images, labels in task.batches(epoch):
            share = (epoch + count / len(task.train)) / recipe.epochs
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * (
                0.5 + 0.5 * math.cos(math.pi * share)
            )
            loss = objective(images, labels, share, source)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(labels)
            count += len(labels)
        task.tick(epoch + 1, total / count)
