"""Spectra of vision networks against weightwatcher's analysis of the same weights.

Dlgen encloses the operator norm of every convolution on its own map and of every matrix, as stored
and with batch normalization folded in. Weightwatcher computes the singular values of slices of the
kernels and fits their tails, and encloses nothing. The weights are random, as torchvision starts
them: a flat spectrum is the hard case; ``--weights mobilenet_v2=FILE`` takes trained ones. Each
side runs in a process of its own, in turn: dlgen's command as a whole, and once more for the time
of its analysis alone. Processor time counts on a machine that others use too; wall time only on a
quiet one.

Run: python benchmarks/vision_spectra.py --other PYTHON > benchmarks/results/vision_spectra.txt
PYTHON is an interpreter with torch, torchvision and weightwatcher.
"""

from __future__ import annotations

import argparse
import json
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
import sys, time; from pathlib import Path
import torch, dlgen_cli.spectra, dlgen_cli.networks
from dlgen_cli.architectures import torchvision_names
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.audit.audit import audit
torchvision_names()
clock, busy = time.perf_counter(), time.process_time()
audit(AuditOptions(checkpoint=Path(sys.argv[1]), arch=sys.argv[2], cache=False), command="spectra")
print(time.perf_counter() - clock, time.process_time() - busy)
"""
THEIRS = """
import logging, sys, time
import torch, torchvision, weightwatcher
logging.disable(logging.CRITICAL)
clock, busy = time.perf_counter(), time.process_time()
model = torchvision.models.get_model(sys.argv[2], weights=None)
model.load_state_dict(torch.load(sys.argv[1]))
details = weightwatcher.WeightWatcher(model=model).analyze()
print(len(details), time.perf_counter() - clock, time.process_time() - busy)
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


def measured(words: list[str], threads: int) -> tuple[str, tuple[float, float, float]]:
    """What a process prints; its wall time, processor time and peak memory in MiB."""
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    start = time.perf_counter()
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | dict.fromkeys(limits, str(threads)),
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    whole = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return printed, (whole, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def run_other(python: str, file: Path, name: str, threads: int) -> Run:
    printed, (whole, busy, peak) = measured(
        [python, "-W", "ignore", "-c", THEIRS, str(file), name], threads
    )
    layers, *analysis = map(float, printed.split()[-3:])
    return Run(numbers=(whole, busy, *analysis, peak), widths=(0.0, 0.0), layers=int(layers))


def run_own(python: str, file: Path, name: str, threads: int) -> Run:
    command = [python, "-m", "dlgen_cli", "spectra", str(file), "--arch", name]
    printed, (whole, busy, peak) = measured([*command, "--no-cache", "--json", "-q"], threads)
    norms = [layer["spectral_norm"] for layer in json.loads(printed)["layers"]]
    widths = [norm["upper"] / norm["lower"] - 1 for norm in norms]
    printed, _ = measured([python, "-c", OURS, str(file), name], threads)
    analysis = map(float, printed.split())
    return Run(
        numbers=(whole, busy, *analysis, peak),
        widths=(statistics.median(widths), max(widths)),
        layers=len(widths),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each side")
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE")
    options = parser.parse_args()
    sides = {"weightwatcher": (options.other, run_other), "dlgen": (sys.executable, run_own)}
    given = dict(one.split("=", 1) for one in options.weights)
    print(f"Random weights but for {', '.join(given) or 'none'}")
    print(f"Medians of {options.rounds} round(s) in turn")
    print(f"torch {torch.__version__}, {options.threads} thread(s) each")
    print(f"{'':32} layers", *(f"{name:>15}" for name in COLUMNS), "  widths of brackets")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            file = Path(given.get(name, Path(folder) / f"{name}.pt"))
            if name not in given:
                torch.manual_seed(0)
                torch.save(torchvision.models.get_model(name, weights=None).state_dict(), file)
            runs: dict[str, list[Run]] = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side, (python, run) in sides.items():
                    runs[side].append(run(python, file, name, options.threads))
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
            if name not in given:
                file.unlink()


if __name__ == "__main__":
    main()
