"""Monte Carlo of the Gibbs risk against the plain loop: copy the module, add noise, evaluate.

What a certificate counts is the number n of independent draws of weights: a draw scored on one
example and a draw scored on the whole sample count the same. Compared, each at equal n:

- one example for each draw: the cheapest plain loop that reaches n, and the same number of
  evaluations on both sides;
- the same at several sigmas: the plain loop once for each, dlgen in one pass;
- the usual plain loop, the whole sample for each draw, against one example for each draw.

The plain loop uses torch's default memory format and batches of 256. Each side runs in a process
of its own, in turn; times are of the processor, so that other load on the machine counts less.

Run: OMP_NUM_THREADS=1 python benchmarks/gibbs_throughput.py
The table is kept in benchmarks/results/gibbs_throughput.txt.
"""

from __future__ import annotations

import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from dlgen_cli import architectures
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.datasets import Split
from dlgen_cli.networks.loaded_module import build_for
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import (
    Draws,
    GaussianWeights,
    fold_network,
    gibbs_errors,
    standard_deviations,
)

ROUNDS = 3
SIGMA = 0.01
SIGMAS = (0.003, 0.01, 0.03, 0.1)
BATCH = 256
DIGITS = Path(__file__).parents[1] / "fixtures" / "digits-mlp"
#: Examples, plain draws on one example, plain draws on all, dlgen's draws.
SIZES = {"digits mlp": (1300, 500, 50, 100_000), "mobilenet_v2": (256, 24, 1, 112)}


def digits_mlp() -> nn.Module:
    return build_for(open_checkpoint(DIGITS)).module


def mobilenet() -> nn.Module:
    module = architectures.build("mobilenet_v2_small", num_classes=10).eval()
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
        elif isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
    return module.requires_grad_(requires_grad=False)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "digits mlp": (digits_mlp, (1, 8, 8)),
    "mobilenet_v2": (mobilenet, (3, 32, 32)),
}


def plain(module: nn.Module, sigma: float, images: Tensor, labels: Tensor) -> int:
    moved = copy.deepcopy(module)
    for parameter in moved.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=sigma)
    errors = 0
    for start in range(0, len(labels), BATCH):
        answers = moved(images[start : start + BATCH]).argmax(1)
        errors += int((answers != labels[start : start + BATCH]).sum())
    return errors


def time_plain(module: nn.Module, images: Tensor, labels: Tensor, name: str) -> list[float]:
    _, ones, wholes, _ = SIZES[name]

    def on_one() -> None:
        for _ in range(ones):
            chosen = torch.randint(len(labels), (1,))
            plain(module, SIGMA, images[chosen], labels[chosen])

    def on_all() -> None:
        for _ in range(wholes):
            plain(module, SIGMA, images, labels)

    each = [seconds(on_one) / ones, seconds(on_all) / wholes]
    return [each[0], each[0] * len(SIGMAS), each[1]]


def time_ours(module: nn.Module, images: Tensor, labels: Tensor, name: str) -> list[float]:
    _, _, _, count = SIZES[name]
    network = fold_network(module, trace(module, tuple(images.shape[1:])), module.state_dict())
    one = [standard_deviations(network, SIGMA)]
    several = [standard_deviations(network, sigma) for sigma in SIGMAS]

    def run(deviations: list[dict[str, float]]) -> float:
        predictors = [GaussianWeights(deviations=one) for one in deviations]
        sample, draws = Split(images=images, labels=labels), Draws(count=count, seed=0)
        return seconds(lambda: gibbs_errors(network, predictors, sample, draws)) / count

    alone = run(one)
    return [alone, run(several), alone]


def seconds(work: Callable[[], object]) -> float:
    work()
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(side: str, name: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, __file__, side, name], capture_output=True, text=True, check=True
    )
    return [float(one) for one in done.stdout.split()]


def run_side(side: str, name: str) -> None:
    make, shape = NETWORKS[name]
    examples = SIZES[name][0]
    source = torch.Generator().manual_seed(1)
    images = torch.rand(examples, *shape, generator=source)
    labels = torch.randint(10, (examples,), generator=source)
    with torch.no_grad():
        print(*(time_plain if side == "plain" else time_ours)(make(), images, labels, name))


ROWS = (
    "one example",
    f"one example, {len(SIGMAS)} sigmas",
    "whole sample / one example",
)


def main() -> None:
    print("Processor milliseconds for each independent draw of weights; medians of", ROUNDS)
    print(f"rounds in turn, {torch.get_num_threads()} thread; torch {torch.__version__}")
    for name, sizes in SIZES.items():
        rounds = [(measure("plain", name), measure("ours", name)) for _ in range(ROUNDS)]
        print(f"{name}, sample of {sizes[0]}")
        for index, row in enumerate(ROWS):
            theirs = statistics.median(one[index] for one, _ in rounds) * 1e3
            ours = statistics.median(two[index] for _, two in rounds) * 1e3
            ratio = statistics.median(one[index] / two[index] for one, two in rounds)
            print(f"  {row:27} plain {theirs:9.3f}   dlgen {ours:9.4f}   ratio {ratio:8.1f}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run_side(*sys.argv[1:])
    else:
        main()
