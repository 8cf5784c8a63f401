"""Training images a second against the loop that a user would write.

The plain loop: torchvision's ImageFolder or CIFAR10 read image by image, a DataLoader with one
worker for each core, the default memory format, float32, Adam as torch sets it up, and the loss
and the number of right answers read off after every step. Both train torchvision's MobileNetV2
on 32 x 32 images with batches of 128; each runs in a process of its own, in turn, on all cores.
dlgen is measured as it comes and with --compile; the time to compile, at the start of a run, is
shown beside it and not counted.

Run: python benchmarks/training_throughput.py DATA [--stem imagenet|medium|small] [--device cuda]
DATA holds train/ and test/ as image folders (CIFAR-10 as JPEG, for example).
The table is kept in benchmarks/results/training_throughput.txt.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

import torch

THEIRS = """
import sys, time, os, itertools
import torch, torchvision
from torch import nn
from torchvision import datasets, transforms
from dlgen_cli import architectures
data, stem, name, steps, batch = sys.argv[1:4] + [int(word) for word in sys.argv[4:6]]
device = torch.device(name)
images = datasets.ImageFolder(data + "/train", transforms.ToTensor())
loader = torch.utils.data.DataLoader(
    images, batch_size=batch, shuffle=True, num_workers=os.cpu_count(), drop_last=True)
network = architectures.build("mobilenet_v2", num_classes=len(images.classes), stem=stem)
for part in network.modules():
    if hasattr(part, "reset_parameters"):
        part.reset_parameters()
network.to(device).train()
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
batches = iter(loader)
right = 0
for step, (x, y) in enumerate(itertools.islice(batches, steps + 5)):
    if step == 5:
        start = time.perf_counter()
    x, y = x.to(device), y.to(device)
    optimizer.zero_grad()
    logits = network(x)
    loss = nn.functional.cross_entropy(logits, y)
    loss.backward()
    optimizer.step()
    right += (logits.argmax(1) == y).sum().item()
print(steps * batch / (time.perf_counter() - start))
"""
OURS = """
import sys, time
import torch
from dlgen_cli.training.computation import computing
from dlgen_cli.training.loop import EpochSettings, train_epoch
from dlgen_cli.training.recipe import make_recipe
from dlgen_cli.training.trial import start_trial
data, stem, name, steps, batch = sys.argv[1:4] + [int(word) for word in sys.argv[4:6]]
compiled = sys.argv[6] == "compiled"
recipe = make_recipe({"source": data, "stem": stem, "device": name, "m": steps * batch,
                      "batch_size": batch, "evaluate_every": 1000, "compile": compiled})
with computing(recipe) as computation:
    trial = start_trial(recipe, computation)
    seconds = []
    for epoch in (1, 2):
        start = time.perf_counter()
        train_epoch(trial.network, trial.optimizer, trial.train,
                    EpochSettings(seed=0, epoch=epoch, epochs=2, batch_size=batch),
                    computation, step_network=trial.step_network)
        seconds.append(time.perf_counter() - start)
print(seconds[0] - seconds[1], steps * batch / seconds[1])
"""


def measure(code: str, options: argparse.Namespace, stem: str, how: str = "") -> list[float]:
    """What the code printed; the last number is in images a second."""
    words = [options.data, stem, options.device, str(options.steps), str(options.batch), how]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--stem", action="append")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="of each measurement")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, device {options.device}, {os.cpu_count()} cores; "
        f"median of {options.rounds} rounds, images/s"
    )
    print(
        f"{'stem':10}{'plain loop':>12}{'dlgen':>10}{'ratio':>8}{'ratios of the rounds':>26}"
        f"{'--compile':>11}{'ratio':>8}{'ratios of the rounds':>26}{'compiling':>11}"
    )
    for stem in options.stem or ["imagenet", "medium", "small"]:
        rounds = [measure_round(options, stem) for _ in range(options.rounds)]
        plain, ours, compiled, compiling = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
        print(
            f"{stem:10}{plain:12,.0f}{ours:10,.0f}{ratios(rounds, 1)}"
            f"{compiled:11,.0f}{ratios(rounds, 2)}{compiling:9.0f} s",
            flush=True,
        )


def measure_round(options: argparse.Namespace, stem: str) -> tuple[float, float, float, float]:
    """Images a second of the plain loop, of dlgen, and compiled; seconds to compile."""
    plain = measure(THEIRS, options, stem)[-1]
    print(f"{stem}: plain loop {plain:,.0f}", file=sys.stderr)
    ours = measure(OURS, options, stem)[-1]
    print(f"{stem}: dlgen {ours:,.0f}, ratio {ours / plain:.2f}", file=sys.stderr)
    compiling, compiled = measure(OURS, options, stem, "compiled")
    print(f"{stem}: --compile {compiled:,.0f}, ratio {compiled / plain:.2f}", file=sys.stderr)
    return plain, ours, compiled, compiling


def ratios(rounds: list[tuple[float, float, float, float]], column: int) -> str:
    """The median and each of the ratios to the plain loop of the same round."""
    each = sorted(measured[column] / measured[0] for measured in rounds)
    shown = " ".join(f"{ratio:.2f}" for ratio in each)
    return f"{statistics.median(each):8.2f}{shown:>26}"


if __name__ == "__main__":
    main()
