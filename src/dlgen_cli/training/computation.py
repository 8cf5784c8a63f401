"""How a run computes: device, threads, precision, memory format, processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from dlgen_cli.devices import keep_freed_memory, resolve_device, threads
from dlgen_cli.processes import Processes, join, own_device

if TYPE_CHECKING:
    from torch import nn

    from dlgen_cli.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Computation:
    """Where and how the steps of a run are computed.

    Attributes:
        device: of network and examples.
        precision: ``float32``, or ``bfloat16`` for mixed precision.
        compiled: whether the steps go through ``torch.compile``.
        processes: those that share the run.
    """

    device: torch.device
    precision: str = "float32"
    compiled: bool = False
    processes: Processes = field(default_factory=Processes)

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision, where asked for."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def prepare(self, network: nn.Module) -> nn.Module:
        """The callable that the steps go through; it shares the network's parameters."""
        step = self.processes.wrap(network)
        if self.compiled:
            step = torch.compile(step)  # type: ignore[assignment]
        return step


@contextmanager
def computing(recipe: Recipe) -> Iterator[Computation]:
    """Set this process up as a recipe says, and restore it at the end.

    Raises:
        UsageError: this machine has no such device.
    """
    device = own_device(resolve_device(recipe.device))
    precision = recipe.precision
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    on_cpu = device.type == "cpu"
    if on_cpu and recipe.architecture != "mlp":
        keep_freed_memory()
    with threads(recipe.threads) if on_cpu else nullcontext():
        yield Computation(
            device=device,
            precision=precision,
            compiled=recipe.compile,
            processes=join(device),
        )


def memory_format(network: nn.Module) -> torch.memory_format:
    """Channels last for a network of 2-D convolutions: several times faster on a CPU."""
    is_convolutional = any(isinstance(part, torch.nn.Conv2d) for part in network.modules())
    return torch.channels_last if is_convolutional else torch.contiguous_format
