"""One audit or one training spread over processes and hosts that ``torchrun`` has started.

In an audit every process opens the checkpoint and measures its share of the layers. All of them
then receive everything, so each holds the same report; the first one prints it. In a training each
takes its part of every batch, and gradients are averaged. Without ``torchrun`` there is one
process, and nothing here does anything.

The command line asks here who prints, so torch is imported late.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from dlgen_cli.errors import DlgenError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Value = TypeVar("Value")

#: A share may take hours; where a process ends, the others are told at once.
_PATIENCE = timedelta(days=30)
_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def process_count() -> int:
    """How many processes share the work."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in _LAUNCHED) else 1


def process_rank() -> int:
    """The number of this process, from 0; the first one prints."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def shares(costs: Sequence[float], count: int) -> list[list[int]]:
    """Spread pieces of work over processes: the largest first, each to the least loaded.

    The longest takes at most 4/3 of the least possible time (Graham 1969, "Bounds on
    multiprocessing timing anomalies", https://doi.org/10.1137/0117039).

    Args:
        costs: of each piece; the same in every process.
        count: how many processes.

    Returns:
        For each process the numbers of its pieces, ascending.
    """
    loads = [0.0] * count
    found: list[list[int]] = [[] for _ in range(count)]
    for piece in sorted(range(len(costs)), key=lambda one: (-costs[one], one)):
        process = min(range(count), key=lambda one: (loads[one], one))
        loads[process] += costs[piece]
        found[process].append(piece)
    return [sorted(pieces) for pieces in found]


def exchange(compute: Callable[[], Value]) -> list[Value]:
    """Compute a value in every process and give all of them to each.

    Args:
        compute: what this process contributes.

    Returns:
        One value for each process, by rank.

    Raises:
        DlgenError: ``compute`` failed in some process: all raise the error of the first of them.
    """
    if process_count() == 1:
        return [compute()]
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_PATIENCE)
    mine: tuple[Value | None, DlgenError | None]
    try:
        mine = (compute(), None)
    except DlgenError as error:
        mine = (None, error)
    everyone: list[Any] = [None] * process_count()
    dist.all_gather_object(everyone, mine)
    failed: DlgenError | None = next((error for _, error in everyone if error), None)
    if failed is not None:
        failed.is_shared = True
        raise failed
    return [value for value, _ in everyone]


def settle(failure: DlgenError | None) -> DlgenError | None:
    """Agree on how a command ended: it fails in every process or in none.

    Args:
        failure: what ended it here; None where it went well.

    Returns:
        What ends it in all processes. One that is not here yet for this reads it in `exchange`.
    """
    if process_count() == 1 or (failure is not None and failure.is_shared):
        return failure

    def end() -> None:
        if failure is not None:
            raise failure

    try:
        exchange(end)
    except DlgenError as error:
        return error
    return None


def leave() -> None:
    """Wait for the others, so that none ends before the first one has printed."""
    if process_count() == 1:
        return
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that share a training.

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
            import torch.distributed as dist

            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier()

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over the processes."""
        if self.count == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network)

    def copy_buffers(self, network: nn.Module) -> None:
        """Take the first process's running statistics."""
        if self.count > 1:
            import torch.distributed as dist

            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)


def join(device: torch.device) -> Processes:
    """Join the processes that ``torchrun`` started for a training, or be alone.

    They stay together until the command ends.

    Args:
        device: where this process computes; it decides how they talk: nccl between GPUs of
            CUDA, else gloo.
    """
    if process_count() == 1:
        return Processes()
    import torch
    import torch.distributed as dist

    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(rank=dist.get_rank(), count=dist.get_world_size())


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process, where several processes of a host share its GPUs."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        import torch

        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
