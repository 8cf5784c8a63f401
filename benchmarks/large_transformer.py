"""The matrices of a transformer with 7 billion parameters, measured in bounded memory.

The shapes are those of Llama 2 7B: 32 equal blocks of four 4096 x 4096 projections and three of
4096 x 11008, and two tables of 32000 x 4096. Random bfloat16 entries, one safetensors file for
each block. Some of the blocks are made, measured by ``dlgen spectra`` and thrown away; the time of
all 32 is their mean times 32, and is printed as such. A shard is a process of its own.

Run: python benchmarks/large_transformer.py [--blocks 2] [--all-values]
The table is kept in benchmarks/results/large_transformer.txt.
"""

from __future__ import annotations

import argparse
import functools
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import save_file

BLOCKS, WIDTH, INNER, WORDS = 32, 4096, 11008, 32000
ATTENTION = {f"self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
MLP = {
    "mlp.gate_proj.weight": (INNER, WIDTH),
    "mlp.up_proj.weight": (INNER, WIDTH),
    "mlp.down_proj.weight": (WIDTH, INNER),
}
BLOCK = ATTENTION | MLP
TABLES = {"embed_tokens.weight": (WORDS, WIDTH), "lm_head.weight": (WORDS, WIDTH)}
GROUPS = {
    "Gram matrices": ("gram_matrix",),
    "eigenvalues": ("leading_pair", "_positive_shift", "eigh"),
    "residuals": ("subtract_triangle_product", "_residual_norm", "_orthogonality_defect"),
}


def make_shard(path: Path, shapes: dict[str, tuple[int, int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (rows, columns) in shapes.items():
        weight = torch.empty(rows, columns, dtype=torch.bfloat16)
        for some in torch.split(weight, 1024):
            some.copy_(torch.randn(some.shape, generator=generator) * 0.02)
        tensors[name] = weight
    save_file(tensors, path)


def measure_shard(path: Path, *, all_values: bool) -> None:
    """In a process of its own: measure, and print where the time went."""
    from dlgen_cli.audit.audit import audit
    from dlgen_cli.evidence.options import AuditOptions
    from dlgen_cli.spectra import dense, gram

    spent: dict[str, float] = defaultdict(float)
    lock, depth = threading.Lock(), threading.local()

    def timed(module: object, name: str) -> None:
        inner = getattr(module, name)

        @functools.wraps(inner)
        def outer(*args: object, **options: object) -> object:
            if getattr(depth, "inside", False) and name != "gram_matrix":
                return inner(*args, **options)
            was, depth.inside = getattr(depth, "inside", False), True
            start = time.thread_time()
            try:
                return inner(*args, **options)
            finally:
                depth.inside = was
                with lock:
                    spent[name] += time.thread_time() - start
                    if was:  # a Gram matrix inside a residual counts once
                        spent["_residual_norm"] -= time.thread_time() - start

        setattr(module, name, outer)

    for names in GROUPS.values():
        for name in names:
            timed(torch.linalg if name == "eigh" else gram, name)
    dense.gram_matrix = gram.gram_matrix
    start, busy = time.perf_counter(), time.process_time()
    options = AuditOptions(checkpoint=path, singular_values=all_values)
    report = audit(options, command="spectra")
    wall, busy = time.perf_counter() - start, time.process_time() - busy
    width = max(
        layer.spectral_norm.upper / layer.spectral_norm.lower - 1 for layer in report.layers
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    groups = [sum(spent[name] for name in names) for names in GROUPS.values()]
    print(wall, busy, peak, width, *groups)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--all-values", action="store_true")
    parser.add_argument("--shard", type=Path, help="measure this one, for the inner process")
    options = parser.parse_args()
    if options.shard is not None:
        measure_shard(options.shard, all_values=options.all_values)
        return
    shards = {f"block {n}": BLOCK for n in range(options.blocks)} | {"two tables": TABLES}
    what = "all singular values" if options.all_values else "norms"
    print(
        f"Shapes of Llama 2 7B, bfloat16, {what}; torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    names = ("wall s", "processor s", "peak MiB", "width", *GROUPS)
    print(" " * 12, *(f"{name:>13}" for name in names))
    rows = {}
    for seed, (name, shapes) in enumerate(shards.items()):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shard.safetensors"
            make_shard(path, shapes, seed)
            command = [sys.executable, __file__, "--shard", str(path)]
            command += ["--all-values"] * options.all_values
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows[name] = [float(word) for word in done.stdout.split()[-7:]]
        wall, busy, peak, width, *groups = rows[name]
        shares = (f"{100 * part / busy:12.0f}%" for part in groups)
        print(f"{name:12} {wall:13.1f} {busy:13.1f} {peak:13.0f} {width:13.1e}", *shares)
    blocks = [row for name, row in rows.items() if name != "two tables"]
    for index, unit in enumerate(("wall", "processor")):
        mean = sum(row[index] for row in blocks) / len(blocks)
        total = BLOCKS * mean + rows["two tables"][index]
        print(f"extrapolated to {BLOCKS} blocks, {unit} time: {total / 60:.1f} min")


if __name__ == "__main__":
    main()
