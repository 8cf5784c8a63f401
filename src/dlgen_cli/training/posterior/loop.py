"""Minimizing a bound itself, after a start on cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.checkpoints.runs.posterior_file import PRIOR_EXPONENTS
from dlgen_cli.training.seeds import generator
from dlgen_cli.training.surrogates import confidence_nats, kl_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dlgen_cli.training.posterior.settings import PosteriorRecipe
    from dlgen_cli.training.posterior.trained_part import TrainedPart

#: For this share of the steps cross-entropy and a weighted KL/m take the place of the bound.
_START_SHARE, _START_KL_WEIGHT = 0.2, 5.0
#: Failure probability that the objective is a bound for.
_DELTA = 0.025
#: After this share of the steps the prior's deviations are those that a bound may choose.
_PRIOR_IS_FIXED_AT = 0.6
#: Steps of means in units of the prior's deviations, beside those of logarithms.
_STEP_OF_MATRICES = 3.0
_STEP_OF_OTHERS = 0.1
_MOMENTUM, _MEMORY = 0.9, 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class FitEpoch:
    """What an epoch showed, on the way through it.

    Attributes:
        epoch: counted from 1.
        loss: mean of what was minimized: the bound, once the start is over.
        running_error: share of wrong answers under noise.
        kl_nats: the divergence at its end.
    """

    epoch: int
    loss: float
    running_error: float
    kl_nats: float


class TensorMomentum:
    """Gradient steps with momentum, each tensor's scaled to a root mean square of 1.

    The direction of a tensor's step stays its gradient's: many small entries move little, which
    is what costs least divergence.
    """

    def __init__(self, tensors: Sequence[nn.Parameter]) -> None:
        self._tensors = tensors
        self._means = [torch.zeros_like(one) for one in tensors]
        self._squares = [torch.zeros((), device=one.device) for one in tensors]
        self._steps = 0

    @torch.no_grad()
    def step(self, size: float) -> None:
        """Move every tensor; ``size`` is the root mean square of a steady step's entries."""
        self._steps += 1
        correction = 1 - _MEMORY**self._steps
        for one, mean, square in zip(self._tensors, self._means, self._squares, strict=True):
            if one.grad is None:
                continue
            mean.lerp_(one.grad, 1 - _MOMENTUM)
            square.lerp_(one.grad.square().mean(), 1 - _MEMORY)
            one.sub_(mean * (size / (square / correction + 1e-30).sqrt()))
            one.grad = None


def fit(
    part: TrainedPart,
    features: Sequence[Tensor],
    labels: Tensor,
    recipe: PosteriorRecipe,
    tick: Callable[[int, int], None] | None = None,
) -> Iterator[FitEpoch]:
    """Minimize ``kl^-1( L_S(Q) | (KL + choices + ln(xi(m)/delta)) / m )``, the bound itself.

    ``L_S(Q)`` is smooth, see `TrainedPart.risk`. The first fifth of the steps minimizes the
    cross-entropy of noisy networks and ``5 KL/m``, whose slope does not vanish far from an answer.
    Means of matrices and all logarithms of deviations move by Adam's steps, means of kernels by
    `TensorMomentum`; step sizes fall to 0 on a line. After three fifths of the steps the prior's
    deviations are rounded to those that a bound may choose, and stay.

    Source: Dziugaite and Roy 2017, https://arxiv.org/abs/1703.11008; the noise of vectors is drawn
    at the outputs (Kingma, Salimans and Welling 2015, https://arxiv.org/abs/1506.02557).

    Args:
        part: is trained.
        features: of all examples, see `TrainedPart.features`.
        labels: int64, on the same device.
        recipe: epochs, batches, step size, seed.
        tick: is called with the epoch and how many of its examples are done.

    Yields:
        One record for each epoch.
    """
    settings = recipe.examples
    count, size = len(labels), settings.batch_size
    steps = settings.epochs * math.ceil(count / size)
    gaussians = list(part.gaussians.values())
    logarithms = [
        one
        for tensor in gaussians
        for one in (tensor.log_deviation, tensor.log_spread)
        if one is not None
    ]
    matrices = [tensor.shift for tensor in gaussians if tensor.shift.ndim == 2]
    others = TensorMomentum([tensor.shift for tensor in gaussians if tensor.shift.ndim != 2])
    adam = torch.optim.Adam([{"params": matrices}, {"params": logarithms}])
    choices = len(gaussians) * math.log(len(PRIOR_EXPONENTS))
    prices = choices + confidence_nats(count, _DELTA)
    done = 0
    for epoch in range(1, settings.epochs + 1):
        order = torch.randperm(count, generator=generator(settings.seed, "posterior", epoch))
        loss_sum = torch.zeros((), device=labels.device)
        wrong = torch.zeros((), device=labels.device)
        for start in range(0, count, size):
            if done == round(_PRIOR_IS_FIXED_AT * steps):
                part.fix_prior()
            rate = settings.learning_rate * (1 - done / steps)
            done += 1
            chosen = order[start : start + size].to(labels.device)
            batch, truth = [one[chosen] for one in features], labels[chosen]
            if done <= _START_SHARE * steps:
                logits = part.logits(batch, noisy=True)
                entropy = functional.cross_entropy(logits, truth)
                loss = entropy + _START_KL_WEIGHT / count * part.nats()
                risk = (logits.argmax(1) != truth).float().mean()
            else:
                risk = part.risk(batch, truth)
                loss = kl_bound(risk, part.nats() + prices, count)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for group, factor in zip(adam.param_groups, (_STEP_OF_MATRICES, 1.0), strict=True):
                group["lr"] = rate * factor
            adam.step()
            others.step(rate * _STEP_OF_OTHERS)
            loss_sum += loss.detach() * len(truth)
            wrong += risk.detach() * len(truth)
            if tick is not None:
                tick(epoch, min(start + size, count))
        yield FitEpoch(
            epoch=epoch,
            loss=float(loss_sum) / count,
            running_error=float(wrong) / count,
            kl_nats=float(part.nats().detach()),
        )
