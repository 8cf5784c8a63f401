"""Several processes that train one network together, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that share a run.

    Attributes:
        rank: its number, from 0; the first one writes and reports.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes and reports."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch: every ``count``-th entry."""
        return batch[self.rank :: self.count]

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes, on each of them."""
        if self.count > 1:
            distributed.all_reduce(value)
        return value

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.count > 1:
            distributed.barrier()

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over the processes."""
        if self.count == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def copy_buffers(self, network: nn.Module) -> None:
        """Take the first process's running statistics."""
        if self.count > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)


def join(device: torch.device) -> Processes:
    """Join the processes that ``torchrun`` started, or be alone.

    They stay together until the command ends.

    Args:
        device: where this process computes; it decides how they talk: nccl between GPUs of
            CUDA, else gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(rank=distributed.get_rank(), count=count)


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process, where several processes of a host share its GPUs."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
