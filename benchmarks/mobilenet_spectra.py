"""MobileNetV2's spectra against weightwatcher's analysis of the same network.

Weightwatcher reports spectra of reshaped kernels and no operator norm at all; dlgen encloses the
operator norm of every layer, stored and folded, and all singular values. Each side runs in a
process of its own, in turn, on one checkpoint with random weights and statistics.

Run: python benchmarks/mobilenet_spectra.py --other PYTHON
The table is kept in benchmarks/results/mobilenet_spectra.txt; PYTHON is an interpreter with
torch, torchvision and weightwatcher.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torchvision

ROUNDS = 3
OURS = """
import time; start = time.perf_counter()
import sys; from pathlib import Path
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.audit.audit import audit
import torchvision, dlgen_cli.spectra, dlgen_cli.networks
ready = time.perf_counter()
options = AuditOptions(checkpoint=Path(sys.argv[1]), arch="mobilenet_v2", input_shape=(3, 224, 224))
report = audit(options, command="spectra")
assert len(report.layers) == 53
print(time.perf_counter() - ready, time.perf_counter() - start)
"""
THEIRS = """
import time; start = time.perf_counter()
import sys, torch, torchvision, weightwatcher, logging
logging.disable(logging.CRITICAL)
ready = time.perf_counter()
model = torchvision.models.mobilenet_v2()
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
details = weightwatcher.WeightWatcher(model=model).analyze(min_evals=0)
print(time.perf_counter() - ready, time.perf_counter() - start)
"""


def measure(python: str, code: str, path: Path) -> tuple[float, float]:
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    analysis, process = done.stdout.split()[-2:]
    return float(analysis), float(process)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", default=sys.executable)
    other = parser.parse_args().other
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mobilenet_v2.pt"
        torch.save(torchvision.models.mobilenet_v2().state_dict(), path)
        rounds = [
            (measure(sys.executable, OURS, path), measure(other, THEIRS, path))
            for _ in range(ROUNDS)
        ]
    print("MobileNetV2 at 224 x 224, 53 layers; seconds, medians of", ROUNDS, "rounds in turn")
    for index, what in enumerate(("analysis", "whole process")):
        ours = statistics.median(one[index] for one, _ in rounds)
        theirs = statistics.median(two[index] for _, two in rounds)
        ratio = statistics.median(two[index] / one[index] for one, two in rounds)
        print(f"{what:14} dlgen {ours:6.2f}   weightwatcher {theirs:6.2f}   ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
