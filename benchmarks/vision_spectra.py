"""Spectra of vision networks against weightwatcher's analysis of the same weights.

Dlgen encloses the operator norm of every convolution on its own map and of every matrix, as stored
and with batch normalization folded in. Weightwatcher computes the singular values of slices of the
kernels and fits their tails, and encloses nothing. The weights are random, as torchvision starts
them: a flat spectrum is the hard case. Each side runs in a process of its own, in turn. Processor
time counts on a machine that others use too; wall time only on a quiet one.

Run: python benchmarks/vision_spectra.py --other PYTHON > benchmarks/results/vision_spectra.txt
PYTHON is an interpreter with torch, torchvision and weightwatcher.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision

NETWORKS = ("resnet18", "resnet50", "vgg16", "convnext_tiny", "mobilenet_v2", "efficientnet_b0")
OURS = """
import statistics, sys, time; from pathlib import Path
import torch, torchvision, dlgen_cli.spectra, dlgen_cli.networks
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.audit.audit import audit
clock, busy = time.perf_counter(), time.process_time()
options = AuditOptions(checkpoint=Path(sys.argv[1]), arch=sys.argv[2])
report = audit(options, command="spectra")
widths = [one.spectral_norm.upper / one.spectral_norm.lower - 1 for one in report.layers]
print(time.perf_counter() - clock, time.process_time() - busy)
print(statistics.median(widths), max(widths), len(widths))
"""
THEIRS = """
import logging, sys, time
import torch, torchvision, weightwatcher
logging.disable(logging.CRITICAL)
clock, busy = time.perf_counter(), time.process_time()
model = torchvision.models.get_model(sys.argv[2], weights=None)
model.load_state_dict(torch.load(sys.argv[1]))
details = weightwatcher.WeightWatcher(model=model).analyze()
print(time.perf_counter() - clock, time.process_time() - busy)
print(0.0, 0.0, len(details))
"""
COLUMNS = ("whole s", "processor s", "analysis s", "its processor s", "peak MiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One side, once.

    Attributes:
        numbers: those of `COLUMNS`.
        widths: median and largest relative width of a bracket.
        layers: how many were analysed.
    """

    numbers: tuple[float, ...]
    widths: tuple[float, float]
    layers: int


def run(python: str, code: str, file: Path, name: str, threads: int) -> Run:
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    start = time.perf_counter()
    process = subprocess.Popen(
        [python, "-W", "ignore", "-c", code, str(file), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | dict.fromkeys(limits, str(threads)),
    )
    assert process.stdout is not None
    words = process.stdout.read().split()[-5:]
    _, status, used = os.wait4(process.pid, 0)
    whole = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (python, name)
    analysis, busy, median, largest = map(float, words[:4])
    processor = used.ru_utime + used.ru_stime
    numbers = (whole, processor, analysis, busy, used.ru_maxrss / 1024)
    return Run(numbers=numbers, widths=(median, largest), layers=int(words[4]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each side")
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    options = parser.parse_args()
    sides = {"weightwatcher": (options.other, THEIRS), "dlgen": (sys.executable, OURS)}
    print(f"Random weights; medians of {options.rounds} round(s) in turn")
    print(f"torch {torch.__version__}, {options.threads} thread(s) each")
    print(f"{'':32} layers", *(f"{name:>15}" for name in COLUMNS), "  widths of brackets")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            torch.manual_seed(0)
            file = Path(folder) / f"{name}.pt"
            torch.save(torchvision.models.get_model(name, weights=None).state_dict(), file)
            runs: dict[str, list[Run]] = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side, (python, code) in sides.items():
                    runs[side].append(run(python, code, file, name, options.threads))
            for side, found in runs.items():
                medians = [
                    statistics.median(column)
                    for column in zip(*(one.numbers for one in found), strict=True)
                ]
                last = found[-1]
                widths = (
                    "" if side != "dlgen" else "{:.2%} median, {:.2%} largest".format(*last.widths)
                )
                row = (f"{value:15.2f}" for value in medians)
                print(f"{name:17}{side:15} {last.layers:6}", *row, f"  {widths}", flush=True)
            ratios = (
                statistics.median(
                    a.numbers[k] / b.numbers[k] for a, b in zip(*runs.values(), strict=True)
                )
                for k in range(len(COLUMNS))
            )
            print(
                f"{name:17}{'ratio':15} {'':6}", *(f"{value:15.2f}" for value in ratios), flush=True
            )
            file.unlink()


if __name__ == "__main__":
    main()
