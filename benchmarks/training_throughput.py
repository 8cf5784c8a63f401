"""Training images a second against the loop that a user would write.

The plain loop: torchvision's ImageFolder or CIFAR10 read image by image, a DataLoader with one
worker for each core, the default memory format, float32, Adam as torch sets it up, and the loss
and the number of right answers read off after every step. Both train torchvision's MobileNetV2
on 32 x 32 images with batches of 128; each runs in a process of its own, in turn, on all cores.

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

ROUNDS = 3
STEPS = 40
BATCH = 128
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
recipe = make_recipe({"source": data, "stem": stem, "device": name, "m": steps * batch,
                      "batch_size": batch, "evaluate_every": 1000})
with computing(recipe) as computation:
    trial = start_trial(recipe, computation)
    for epoch in (1, 2):
        start = time.perf_counter()
        train_epoch(trial.network, trial.optimizer, trial.train,
                    EpochSettings(seed=0, epoch=epoch, epochs=2, batch_size=batch),
                    computation, step_network=trial.step_network)
        seconds = time.perf_counter() - start
print(steps * batch / seconds)
"""


def measure(code: str, data: str, stem: str, device: str) -> float:
    words = [data, stem, device, str(STEPS), str(BATCH)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--stem", action="append")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, device {options.device}, {os.cpu_count()} cores; "
        f"median of {ROUNDS} rounds, images/s"
    )
    print(f"{'stem':10}{'plain loop':>12}{'dlgen':>12}{'ratio':>8}{'ratios of the rounds':>26}")
    for stem in options.stem or ["imagenet", "medium", "small"]:
        pairs = []
        for _ in range(ROUNDS):
            theirs = measure(THEIRS, options.data, stem, options.device)
            ours = measure(OURS, options.data, stem, options.device)
            pairs.append((theirs, ours))
        theirs, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = sorted(ours / theirs for theirs, ours in pairs)
        shown = " ".join(f"{ratio:.2f}" for ratio in ratios)
        middle = statistics.median(ratios)
        print(f"{stem:10}{theirs:12,.0f}{ours:12,.0f}{middle:8.2f}{shown:>26}", flush=True)


if __name__ == "__main__":
    main()
