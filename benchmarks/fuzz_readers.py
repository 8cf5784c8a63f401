"""Feed damaged and hostile files to every reader of checkpoints.

Each input is a small valid file of one format, changed at random: bits, bytes and blocks anywhere,
and the structure of the format itself (fields of a safetensors header, instructions of a pickle,
entries of a zip, names and values of an index, integers of a GGUF header). A child process opens
it and reads every tensor. It has 1 GiB more address space than it needs to start, and 5 s for each
input. Anything that is neither a checkpoint nor a `DlgenError` is a failure; so is a tensor that
safetensors or torch read from the same file with other entries.

    python benchmarks/fuzz_readers.py --inputs 100000 --output benchmarks/results/fuzz_readers.txt
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickletools
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 5
MEMORY = 1 << 30
CHUNK = 2_500
EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1)
EDGES += (2**63, 2**64 - 1, -1, -(2**31), -(2**63), 10**30)
TEXTS = ("", ".", "..", "/", "../x", "/etc/passwd", "C:\\x", "\0", "\ud800", "a\nb", "[red]x[/red]")
TEXTS += ("w" * 5000, "__metadata__", "é", "x/../../y", "model.safetensors", "9" * 400)


# ---- valid files -------------------------------------------------------------------------------


def states() -> dict[str, Any]:
    """What trainers save."""
    import torch

    torch.manual_seed(0)
    state = {
        "a.weight": torch.randn(4, 3),
        "a.bias": torch.randn(4),
        "b.weight": torch.randn(2, 4).half(),
        "c.weight": torch.randn(3, 2).bfloat16(),
        "d.weight": torch.randn(2, 2, 3).double().transpose(0, 2),
        "e": torch.tensor(3),
        "empty": torch.empty(0, 5),
    }
    return {
        "plain": state,
        "nested": {"model": state, "optimizer": {"state": {0: {"m": torch.ones(3)}}}, "epoch": 3},
    }


def seeds(folder: Path) -> dict[str, Path]:
    """One valid checkpoint of each format, files or folders; GGUF where its package is there."""
    import torch
    from safetensors.torch import save_file
    from torch.distributed import checkpoint

    found: dict[str, Path] = {}
    saved = states()
    plain = {name: tensor.contiguous() for name, tensor in saved["plain"].items()}
    found["safetensors"] = folder / "a.safetensors"
    save_file(plain, found["safetensors"], {"examples": "50", "x": "y"})
    found["torch zip"] = folder / "zip.pt"
    torch.save(saved["nested"], found["torch zip"])
    found["torch legacy"] = folder / "legacy.pt"
    torch.save(saved["nested"], found["torch legacy"], _use_new_zipfile_serialization=False)
    found["TorchScript"] = folder / "script.pt"
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Conv1d(2, 3, 2))
    torch.jit.save(torch.jit.script(module), found["TorchScript"])
    found["sharded"] = folder / "sharded"
    found["sharded"].mkdir()
    names = sorted(plain)
    shards = {"one.safetensors": names[:3], "two.bin": names[3:]}
    save_file({name: plain[name] for name in names[:3]}, found["sharded"] / "one.safetensors")
    torch.save({name: plain[name] for name in names[3:]}, found["sharded"] / "two.bin")
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    index = found["sharded"] / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 99}, "weight_map": weight_map}))
    found["distributed"] = folder / "distributed"
    checkpoint.save({"model": dict(saved["plain"])}, checkpoint_id=found["distributed"])
    try:
        found["GGUF"] = write_gguf(folder / "a.gguf")
    except ImportError:
        sys.stderr.write("gguf is not installed: its reader is left out\n")
    return found


def write_gguf(path: Path) -> Path:
    """A GGUF file with plain and quantised tensors."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokens", ["a", "bc", "def"])
    writer.add_array("scores", [0.5, 1.0, 2.0])
    values = np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64)
    writer.add_tensor("f32.weight", values)
    writer.add_tensor("f16.weight", values.astype(np.float16))
    quantised = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q8.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# ---- changes -----------------------------------------------------------------------------------


def change_bytes(data: bytes, dice: random.Random) -> bytes:
    """Bits, integers, blocks and ends, changed where chance has it."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.randrange(len(changed) + 1) if changed else 0
        kind = dice.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = dice.randrange(256)
        elif kind == 2:
            width = dice.choice((1, 2, 4, 8))
            number = dice.choice(EDGES) % (1 << 8 * width)
            changed[at : at + width] = number.to_bytes(width, dice.choice(("little", "big")))
        elif kind == 3:
            del changed[at : at + dice.choice((1, 4, 64))]
        elif kind == 4:
            changed[at:at] = dice.randbytes(dice.choice((1, 8, 64)))
        elif kind == 5:
            source = dice.randrange(len(changed) + 1)
            changed[at:at] = changed[source : source + dice.choice((4, 32, 256))]
        elif dice.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def change_json(value: Any, dice: random.Random) -> Any:
    """One value, key or list of a JSON tree, replaced."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        key = dice.choice(list(value))
        changed = dict(value)
        kind = dice.randrange(5)
        if kind == 0:
            changed[dice.choice(TEXTS)] = changed.pop(key)
        elif kind == 1:
            del changed[key]
        else:
            changed[key] = change_json(value[key], dice)
        return changed
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], change_json(value[at], dice), *value[at + 1 :]]
    dtypes = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "U8", "C64", "F4", "x")
    near = value + dice.choice((-8, -4, -1, 1, 4, 8)) if isinstance(value, int) else value
    deep = json.loads("[" * 50 + "]" * 50)
    others = (None, True, 1.5, {}, [], deep, [1] * 70, value, near, near)
    return dice.choice((dice.choice(EDGES), dice.choice(TEXTS), dice.choice(dtypes), *others))


def change_safetensors(data: bytes, dice: random.Random) -> bytes:
    """The header changed as JSON; its length fits again, most times."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for _ in range(dice.choice((1, 1, 2, 3))):
        header = change_json(header, dice) if isinstance(header, dict) else header
    text = json.dumps(header).encode()
    if dice.random() < 0.2:
        text = change_bytes(text, dice)
    text = text.ljust(-(-len(text) // 8) * 8)
    length = dice.choice(EDGES) % 2**64 if dice.random() < 0.1 else len(text)
    return struct.pack("<Q", length) + text + data[8 + size :]


def change_pickle(data: bytes, dice: random.Random) -> bytes:
    """Instructions of a pickle repeated, left out, swapped, or with other arguments."""
    try:
        starts = [at for _, _, at in pickletools.genops(io.BytesIO(data))]
    except Exception:  # a legacy file: more than a pickle
        return change_bytes(data, dice)
    end = starts[-1] + 1
    parts = [data[a:b] for a, b in zip(starts, [*starts[1:], end], strict=True)]
    hostile = (b"cos\nsystem\n", b"X\x02\x00\x00\x00id", b"\x85R", b"r\xff\xff\xff\x7f", b"(", b"2")
    hostile += (
        b"\x8d" + b"\xff" * 8,
        b"}",
        b"]",
        b"t",
        b"u",
        b"e",
        b"b",
        b"Q",
        b"0",
        b"1",
        b"\x94",
    )
    hostile += (
        b"ctorch.storage\nUntypedStorage\n",
        b"cbuiltins\nbytearray\n",
        b"J\xff\xff\xff\xff",
    )
    for _ in range(dice.choice((1, 1, 2, 5))):
        at, other = dice.randrange(len(parts)), dice.randrange(len(parts))
        kind = dice.randrange(6)
        if kind == 0:
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 1:
            parts.insert(at, parts[other])
        elif kind == 2 and len(parts) > 1:
            del parts[at]
        elif kind == 3:
            parts.insert(at, dice.choice(hostile))
        elif kind == 4:
            number = dice.choice(EDGES)
            parts[at] = b"\x8a\x10" + (number % 2**127).to_bytes(16, "little")
        else:
            parts[at] = change_bytes(parts[at], dice)
    return b"".join(parts) + data[end:]


def change_zip(data: bytes, dice: random.Random) -> bytes:
    """An archive rebuilt: one entry changed, dropped, doubled, renamed or compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    at = dice.randrange(len(entries))
    pickles = [place for place, (name, _) in enumerate(entries) if name.endswith(".pkl")]
    kind = dice.randrange(8)
    method = zipfile.ZIP_STORED
    if kind <= 3:
        at = dice.choice(pickles)
        entries[at] = (entries[at][0], change_pickle(entries[at][1], dice))
    elif kind == 4:
        entries[at] = (entries[at][0], change_bytes(entries[at][1], dice))
    elif kind == 5:
        entries[at] = (entries[dice.randrange(len(entries))][0], entries[at][1])
    elif kind == 6:
        del entries[at]
    else:
        method = zipfile.ZIP_DEFLATED
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in entries:
            archive.writestr(name, content)
    return change_bytes(out.getvalue(), dice) if dice.random() < 0.1 else out.getvalue()


def change_index(data: bytes, dice: random.Random) -> bytes:
    """An index changed as JSON."""
    found = change_json(json.loads(data), dice)
    text = json.dumps(found).encode()
    return change_bytes(text, dice) if dice.random() < 0.1 else text


def change_header(data: bytes, dice: random.Random) -> bytes:
    """Integers near the start, where a GGUF file keeps its counts and types."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 2, 3))):
        at = dice.randrange(4, min(len(changed) - 8, 700))
        width = dice.choice((4, 8))
        changed[at : at + width] = (dice.choice(EDGES) % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(changed)


Change = Callable[[bytes, random.Random], bytes]
STRUCTURE: dict[str, tuple[str | None, Change]] = {
    "safetensors": (None, change_safetensors),
    "torch zip": (None, change_zip),
    "torch legacy": (None, change_pickle),
    "TorchScript": (None, change_zip),
    "sharded": ("model.safetensors.index.json", change_index),
    "distributed": (".metadata", change_pickle),
    "GGUF": (None, change_header),
}


# ---- the child ---------------------------------------------------------------------------------


class TooSlow(BaseException):
    """An input took too long."""


def stop(_signal: int, _frame: Any) -> None:
    raise TooSlow


def try_one(kind: str, path: Path, tally: dict[str, int]) -> str | None:
    """Open and read one input; what is wrong, if anything."""
    from dlgen_cli.checkpoints import open_checkpoint
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
