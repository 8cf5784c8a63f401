"""Training steps and evaluation on whole tensors that live on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.training.seeds import generator

if TYPE_CHECKING:
    from dlgen_cli.training.computation import Computation
    from dlgen_cli.training.examples import DeviceExamples

EVALUATION_BATCH = 2048
#: The activations of convolutions on a CPU shall stay in its cache.
_EVALUATION_BATCH_CONVOLUTIONS = 256

_WORTH_FUSING = 100_000

# No weight decay anywhere: the runs have no explicit regularization.
OPTIMIZER_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    "sgd": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
}


def initialize(network: nn.Module, seed: int) -> None:
    """Draw the initial parameters as He and others (2015, https://arxiv.org/abs/1502.01852) do.

    A matrix is uniform in ``±sqrt(6 / fan_in)``. A kernel is normal with variance ``2 / fan_out``,
    as torchvision draws those of its residual and mobile networks: with batch normalization its
    scale only sets how fast it turns, and a depthwise one drawn by its small fan_in hardly
    learns. Beside kernels a matrix is uniform in ``±1 / sqrt(fan_in)``, torch's default. Biases
    start at 0 and the scales of normalization layers at 1. The global generator is not used.

    Args:
        network: its parameters are overwritten in the order of their names' definition.
        seed: the run's seed.
    """
    source = generator(seed, "init")
    has_kernels = any(parameter.dim() > 2 for parameter in network.parameters())
    slope = math.sqrt(5) if has_kernels else 0.0
    for name, parameter in network.named_parameters():
        if parameter.dim() > 2:
            nn.init.kaiming_normal_(
                parameter, mode="fan_out", nonlinearity="relu", generator=source
            )
        elif parameter.dim() > 1:
            nn.init.kaiming_uniform_(
                parameter, a=slope, nonlinearity="leaky_relu", generator=source
            )
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.ones_(parameter)


def make_optimizer(network: nn.Module, name: str, learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer ``adam`` or ``sgd`` over all parameters, without weight decay.

    One kernel updates all entries of a large network; the small ones keep to the plain steps.
    """
    arguments = OPTIMIZER_ARGUMENTS[name]
    entries = sum(parameter.numel() for parameter in network.parameters())
    fused = True if entries > _WORTH_FUSING else None
    kind = torch.optim.Adam if name == "adam" else torch.optim.SGD
    return kind(network.parameters(), lr=learning_rate, fused=fused, **arguments)


def clamp_parameters(network: nn.Module, limit: float) -> None:
    """Bring every parameter into ``[-limit, limit]``.

    The limit is rounded down to float32, so that the stored values keep to it exactly.
    """
    rounded = np.float32(limit)
    if float(rounded) > limit:
        rounded = np.nextafter(rounded, np.float32(0))
    bound = float(rounded)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.clamp_(-bound, bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSettings:
    """What an epoch depends on beside network, optimizer and examples.

    Attributes:
        seed: the run's seed.
        epoch: number of this epoch, from 1.
        epochs: the most epochs of the run.
        batch_size: examples for each step, over all processes; the last step takes what is left.
        learning_rate: step size at the start of the run, or None to leave the optimizer's.
        linear_decay: let the step size fall linearly to 0 at the end of the run's last epoch.
        clip_linf: bound on every parameter's magnitude, kept after every step.
    """

    seed: int
    epoch: int
    epochs: int = 1
    batch_size: int = 128
    learning_rate: float | None = None
    linear_decay: bool = False
    clip_linf: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSummary:
    """What was seen on the way, while the parameters moved.

    Attributes:
        loss: mean cross-entropy over the epoch's examples, in nats; NaN or infinite where the
            run diverged.
        running_error: share of wrong answers in training mode, each example at its own step.
    """

    loss: float
    running_error: float


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: DeviceExamples,
    settings: EpochSettings,
    computation: Computation,
    *,
    step_network: nn.Module | None = None,
    tick: Callable[[int], None] | None = None,
) -> EpochSummary:
    """Pass once over the training examples in an order that depends on seed and epoch alone.

    Nothing waits for the device before the last step of the epoch.

    Args:
        network: trained in place.
        optimizer: over the network's parameters.
        examples: all on the network's device.
        settings: seed, epoch, step size, batches.
        computation: device, precision and processes.
        step_network: what the steps go through, from `Computation.prepare`; by default the
            network itself.
        tick: called with the number of examples done, after every step.
    """
    steps_through = network if step_network is None else step_network
    steps_through.train()
    count = len(examples)
    order = torch.randperm(count, generator=generator(settings.seed, "batches", settings.epoch))
    order = order.to(computation.device)
    sums = torch.zeros(2, device=computation.device, dtype=torch.float64)
    done = 0
    for batch in _batches(order, settings.batch_size, least=2 * computation.processes.count):
        _set_learning_rate(optimizer, settings, done / count)
        loss, wrong = _step(steps_through, optimizer, examples, batch, computation)
        if settings.clip_linf is not None:
            clamp_parameters(network, settings.clip_linf)
        sums[0] += loss
        sums[1] += wrong
        done += len(batch)
        if tick is not None:
            tick(done)
    loss_sum, wrong_sum = computation.processes.total(sums).tolist()
    return EpochSummary(loss=loss_sum / count, running_error=wrong_sum / count)


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: DeviceExamples,
    batch: Tensor,
    computation: Computation,
) -> tuple[Tensor, Tensor]:
    """One step on a batch; returns the sum of its losses and the number of wrong answers here."""
    processes = computation.processes
    images, labels = examples.batch(processes.share(batch))
    optimizer.zero_grad(set_to_none=True)
    with computation.autocast():
        logits = network(images)
        loss = functional.cross_entropy(logits, labels)
    # The processes' gradients are averaged: each is weighed by its part of the batch.
    share = len(labels) * processes.count / len(batch)
    torch.autograd.backward(loss if share == 1 else loss * share)
    optimizer.step()
    wrong = (logits.detach().argmax(1) != labels).sum()
    return loss.detach() * len(labels), wrong


def _batches(order: Tensor, size: int, *, least: int) -> Iterator[Tensor]:
    """Split an epoch; a rest of fewer than ``least`` joins the last batch.

    Batch normalization needs two examples on every process.
    """
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] < least:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        yield order[start:end]


def _set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: EpochSettings, share: float
) -> None:
    if settings.linear_decay and settings.learning_rate is not None:
        left = 1 - (settings.epoch - 1 + share) / settings.epochs
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * left


@torch.no_grad()
def error_rate(
    network: nn.Module,
    examples: DeviceExamples,
    computation: Computation,
    tick: Callable[[int], None] | None = None,
) -> float:
    """The share of examples whose largest logit is not that of their label.

    Args:
        network: evaluated in evaluation mode, in float32.
        examples: at least one, on the network's device.
        computation: the processes that share the work.
        tick: called with the number of examples done.

    Returns:
        A number in [0, 1]; the same on every process.
    """
    network.eval()
    processes = computation.processes
    is_cached = computation.device.type == "cpu" and examples.memory_format == torch.channels_last
    size = _EVALUATION_BATCH_CONVOLUTIONS if is_cached else EVALUATION_BATCH
    wrong = torch.zeros((), dtype=torch.int64, device=computation.device)
    for start in range(processes.rank * size, len(examples), processes.count * size):
        images, labels = examples.batch(slice(start, start + size))
        wrong += (network(images).argmax(1) != labels).sum()
        if tick is not None:
            tick(min(start + processes.count * size, len(examples)))
    return int(processes.total(wrong)) / len(examples)


@torch.no_grad()
def linf_norm(network: nn.Module) -> float:
    """The largest magnitude of a parameter; NaN where a parameter is NaN."""
    largest: Tensor = torch.stack([parameter.abs().max() for parameter in network.parameters()])
    return float(largest.max())
