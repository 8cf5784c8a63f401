"""Feed damaged and hostile files to every reader of checkpoints.

Each input is a small valid file of one format, damaged at random by `fuzz_inputs.py`. A child
process opens it and reads every tensor. It has 1 GiB more address space than it needs to start,
and 5 s for each input. Anything that is neither a checkpoint nor a `DlgenError` is a failure; so is
a tensor that safetensors or torch read from the same file with other entries. The valid file itself
counts among the opened ones.

    python benchmarks/fuzz_readers.py --inputs 100000 --output benchmarks/results/fuzz_readers.txt
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from fuzz_inputs import STRUCTURE, change_bytes, seeds

SECONDS = 5
MEMORY = 1 << 30
CHUNK = 15_000

# ---- the child ---------------------------------------------------------------------------------


class TooSlow(BaseException):
    """An input took too long."""


def stop(_signal: int, _frame: Any) -> None:
    raise TooSlow


def try_one(kind: str, path: Path, tally: dict[str, int]) -> str | None:
    """Open and read one input; what is wrong, if anything."""
    from dlgen_cli.checkpoints.reader import open_checkpoint
    from dlgen_cli.errors import DlgenError

    read = {}
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        found = open_checkpoint(path)
        tally["opened"] += 1
        for name, info in found.tensors.items():
            try:
                read[info.stored_name] = found.read(name)
            except DlgenError:
                tally["refused tensors"] += 1
    except DlgenError as error:
        tally["refused"] += 1
        return "more than one line" if "\n" in str(error) else None
    except TooSlow:
        return "more than 5 s"
    except BaseException as error:  # what is looked for
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return compare(kind, path, read, tally)


def compare(kind: str, path: Path, read: dict[str, Any], tally: dict[str, int]) -> str | None:
    """Whether the format's own library reads the same, where it reads anything."""
    import torch
    from safetensors.torch import load_file

    if kind not in {"safetensors", "torch zip"}:
        return None
    try:
        theirs = load_file(path) if kind == "safetensors" else torch.load(path)["model"]
        wrong = [name for name, one in read.items() if not same(one, theirs[name])]
    except Exception:  # the library is stricter, or another part was read
        return None
    tally["compared"] += 1
    return f"other entries than the library's: {wrong[0][:80]!r}" if wrong else None


def same(one: Any, other: Any) -> bool:
    import torch

    return one.dtype == other.dtype and torch.equal(one, other)


def work(kind: str, seed: int, inputs: int, folder: Path, keep: Path) -> dict[str, Any]:
    """Try inputs in this process, and tell what happened."""
    warnings.simplefilter("ignore")
    dice = random.Random(seed)
    valid = seeds(folder)
    inner, change = STRUCTURE[kind]
    target = valid[kind]
    tally = dict.fromkeys(("opened", "refused", "refused tensors", "compared"), 0)
    if (problem := try_one(kind, target, tally)) is not None:
        raise SystemExit(f"the valid {kind} failed: {problem}")
    files = sorted(one for one in target.iterdir()) if target.is_dir() else [target]
    contents = {one: one.read_bytes() for one in files}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.signal(signal.SIGALRM, stop)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failures: dict[str, int] = {}
    slowest = 0.0
    for number in range(inputs):
        is_structural = number % 4 > 0
        file = target / inner if inner and is_structural else dice.choice(files)
        file.write_bytes((change if is_structural else change_bytes)(contents[file], dice))
        begin = time.perf_counter()
        problem = try_one(kind, target, tally)
        slowest = max(slowest, time.perf_counter() - begin)
        if problem is not None:
            if problem not in failures and len(failures) < 20:
                name = f"{kind.replace(' ', '_')}-{seed}-{number}-{file.name}"
                (keep / name).write_bytes(file.read_bytes())
            failures[problem] = failures.get(problem, 0) + 1
        file.write_bytes(contents[file])
    peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return {"tally": tally, "failures": failures, "slowest": slowest, "peak": peak}


# ---- the parent --------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=STRUCTURE)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.keep.mkdir(exist_ok=True, parents=True)
    if given.child:
        kind, seed, inputs = given.child
        with tempfile.TemporaryDirectory() as folder:
            done = work(kind, int(seed), int(inputs), Path(folder), given.keep)
        print(json.dumps(done))
        return
    kinds = [given.only] if given.only else list(STRUCTURE)
    each = -(-given.inputs // len(kinds))
    lines = [HEADING]
    print(HEADING)
    for kind in kinds:
        lines.append(run_kind(kind, given.seed, each, given.keep))
        print(lines[-1], flush=True)
    if given.output:
        given.output.write_text("\n".join(lines) + "\n")


HEADING = f"{'format':<14}{'inputs':>9}{'opened':>9}{'refused':>9}{'compared':>9}"
HEADING += f"{'slowest':>10}{'more memory':>13}  failures"


def run_kind(kind: str, seed: int, inputs: int, keep: Path) -> str:
    """The row of one format."""
    total = {"opened": 0, "refused": 0, "compared": 0}
    failures: dict[str, int] = {}
    slowest, peak, left = 0.0, 0, inputs
    while left:
        count = min(left, CHUNK)
        child = [
            sys.executable,
            __file__,
            "--keep",
            str(keep),
            "--child",
            kind,
            str(seed),
            str(count),
        ]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        if done.returncode:
            problem = f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"
            failures[problem] = failures.get(problem, 0) + 1
        else:
            found = json.loads(done.stdout.splitlines()[-1])
            for key in total:
                total[key] += found["tally"][key]
            for problem, times in found["failures"].items():
                failures[problem] = failures.get(problem, 0) + times
            slowest, peak = max(slowest, found["slowest"]), max(peak, found["peak"])
        left, seed = left - count, seed + 1
    row = (
        f"{kind:<14}{inputs:>9,}{total['opened']:>9,}{total['refused']:>9,}{total['compared']:>9,}"
    )
    row += f"{slowest:>8.2f} s{peak / 2**20:>9,.0f} MiB  {sum(failures.values())}"
    for problem, times in failures.items():
        sys.stderr.write(f"{kind}: {times} × {problem}\n")
    return row


if __name__ == "__main__":
    main()
