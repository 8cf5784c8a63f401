"""Training steps and evaluation on whole tensors that live on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.training.examples import LabelledImages
from dlgen_cli.training.seeds import generator

EVALUATION_BATCH = 2048

# No weight decay anywhere: the runs have no explicit regularization.
OPTIMIZER_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    "sgd": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
}


def initialize(network: nn.Module, seed: int) -> None:
    """Draw the initial parameters: He's uniform distribution for every matrix and kernel.

    Entries are uniform in ``±sqrt(6 / fan_in)``. Biases start at 0 and the scales of
    normalization layers at 1. The global generator is not used.

    Args:
        network: its parameters are overwritten in the order of their names' definition.
        seed: the run's seed.
    """
    source = generator(seed, "init")
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_uniform_(parameter, nonlinearity="relu", generator=source)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.ones_(parameter)


def make_optimizer(network: nn.Module, name: str, learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer ``adam`` or ``sgd`` over all parameters, without weight decay."""
    arguments = OPTIMIZER_ARGUMENTS[name]
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=learning_rate, **arguments)
    return torch.optim.SGD(network.parameters(), lr=learning_rate, **arguments)


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


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: LabelledImages,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    clip_linf: float | None = None,
) -> float:
    """Pass once over the training examples in an order that depends on seed and epoch alone.

    Nothing waits for the device before the last step of the epoch.

    Args:
        network: trained in place.
        optimizer: over the network's parameters.
        examples: all on the network's device.
        seed: the run's seed.
        epoch: number of this epoch, from 1.
        batch_size: examples for each step; the last step takes what is left.
        clip_linf: bound on every parameter's magnitude, kept after every step.

    Returns:
        The mean cross-entropy over the epoch's examples, in nats; NaN or infinite where the run
        diverged.
    """
    network.train()
    count = len(examples.labels)
    device = examples.labels.device
    order = torch.randperm(count, generator=generator(seed, "batches", epoch)).to(device)
    total = torch.zeros((), device=device)
    for start in range(0, count, batch_size):
        batch = order[start : start + batch_size]
        optimizer.zero_grad(set_to_none=True)
        logits = network(examples.images[batch])
        loss = functional.cross_entropy(logits, examples.labels[batch])
        torch.autograd.backward(loss)
        optimizer.step()
        if clip_linf is not None:
            clamp_parameters(network, clip_linf)
        total += loss.detach() * len(batch)
    return float(total) / count


@torch.no_grad()
def error_rate(network: nn.Module, examples: LabelledImages) -> float:
    """The share of examples whose largest logit is not that of their label.

    Args:
        network: evaluated in evaluation mode.
        examples: at least one, on the network's device.

    Returns:
        A number in [0, 1].
    """
    network.eval()
    wrong = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    for start in range(0, len(examples.labels), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        wrong += (network(examples.images[batch]).argmax(1) != examples.labels[batch]).sum()
    return int(wrong) / len(examples.labels)


@torch.no_grad()
def linf_norm(network: nn.Module) -> float:
    """The largest magnitude of a parameter; NaN where a parameter is NaN."""
    largest: Tensor = torch.stack([parameter.abs().max() for parameter in network.parameters()])
    return float(largest.max())
