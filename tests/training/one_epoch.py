"""One epoch on a small network, written to a file: run alone, or by ``torchrun``."""

import sys

import torch

from dlgen_cli import architectures
from dlgen_cli.datasets import Split
from dlgen_cli.processes import join
from dlgen_cli.training.computation import Computation
from dlgen_cli.training.examples import DeviceExamples
from dlgen_cli.training.loop import (
    EpochSettings,
    error_rate,
    initialize,
    make_optimizer,
    train_epoch,
)


def main(target: str) -> None:
    """Train, and write the parameters and what was counted on each process."""
    device = torch.device("cpu")
    source = torch.Generator().manual_seed(1)
    stored = Split(
        images=torch.rand((37, 1, 4, 4), generator=source),
        labels=torch.randint(0, 4, (37,), generator=source),
    )
    examples = DeviceExamples(stored=stored, scale=1.0)
    network = architectures.build("mlp", width=16, depth=2, classes=4)
    initialize(network, 0)
    processes = join(device)
    computation = Computation(device=device, processes=processes)
    summary = train_epoch(
        network,
        make_optimizer(network, "sgd", 0.1),
        examples,
        EpochSettings(seed=0, epoch=1, batch_size=10),
        computation,
        step_network=computation.prepare(network),
    )
    counts = [summary.loss, summary.running_error, error_rate(network, examples, computation)]
    torch.save({"state": network.state_dict(), "counts": counts}, f"{target}-{processes.rank}.pt")
    processes.wait()
    if processes.count > 1:
        torch.distributed.destroy_process_group()


main(sys.argv[1])
