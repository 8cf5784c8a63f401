"""Brackets of convolutions' norms against dense matrices, for random kernels and geometries.

Every case has a known map, on which the operator is formed by convolving unit vectors, which shares
no code with the bracket. Three quarters take the way of maps that are too large for a dense matrix:
a torus or the lattice above, a vector below. No upper end may be below the largest singular value
and no lower end above it, up to the rounding of the singular values themselves.

Run: python benchmarks/random_geometries.py > benchmarks/results/random_geometries.txt
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections import Counter

import torch
from torch.nn import functional

from dlgen_cli.errors import TensorError
from dlgen_cli.spectra import convolution
from dlgen_cli.spectra.convolution import ConvolutionGeometry, convolution_norm

FORWARD = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
MODES = ("zeros", "zeros", "zeros", "circular", "reflect", "replicate")
ROUNDING = 1e-12  # of the singular values
MOST_ENTRIES = 2e6


def operator(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> torch.Tensor:
    """The matrix in float64, a row for each unit vector."""
    axes = kernel.ndim - 2
    channels = kernel.shape[0] if geometry.transposed else kernel.shape[1] * geometry.groups
    shape = (channels, *geometry.input_size)
    units = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    settings = {
        "stride": geometry.stride,
        "dilation": geometry.dilation,
        "groups": geometry.groups,
    }
    if geometry.transposed:
        images = TRANSPOSED[axes](units, kernel, padding=geometry.padding, **settings)
    elif geometry.padding_mode == "zeros":
        images = FORWARD[axes](units, kernel, padding=geometry.padding, **settings)
    else:
        sides = [p for p in reversed(geometry.padding) for _ in range(2)]
        padded = functional.pad(units, sides, mode=geometry.padding_mode)
        images = FORWARD[axes](padded, kernel, **settings)
    return images.flatten(1)


def case(rng: random.Random) -> tuple[torch.Tensor, ConvolutionGeometry]:
    axes = rng.choices((1, 2, 3), (2, 7, 1))[0]
    longest = {1: 7, 2: 5, 3: 3}[axes]
    taps = tuple(rng.randint(1, longest) for _ in range(axes))
    groups = rng.choice((1, 1, 1, 2, 4))
    most = {1: 40, 2: 28, 3: 20}[axes] // groups  # orders on both sides of the narrow ones
    ins, outs = rng.randint(1, most), rng.randint(1, most)
    generator = torch.Generator().manual_seed(rng.randrange(1 << 30))
    kernel = torch.randn(groups * outs, ins, *taps, generator=generator)
    style = rng.random()
    if style < 0.15:
        kernel = kernel.abs()
    elif style < 0.3:  # one direction at one frequency stands out
        wave = torch.randn(kernel.shape[0], 1, *taps, generator=generator)
        kernel = kernel + 3 * wave * torch.randn(1, ins, *(1,) * axes, generator=generator)
    kernel = kernel * 2.0 ** rng.randint(-60, 60)
    transposed = rng.random() < 0.2
    return kernel, ConvolutionGeometry(
        stride=tuple(rng.choice((1, 1, 2, 3)) for _ in range(axes)),
        padding=tuple(rng.randint(0, 3) for _ in range(axes)),
        dilation=tuple(rng.choice((1, 1, 1, 2)) for _ in range(axes)),
        groups=groups,
        transposed=transposed,
        padding_mode="zeros" if transposed else rng.choice(MODES),
        input_size=tuple(
            rng.randint({1: 5, 2: 3, 3: 2}[axes], {1: 40, 2: 9, 3: 5}[axes]) for _ in range(axes)
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    widths: list[float] = []
    above: list[float] = []
    faults = []
    kinds: Counter[str] = Counter()
    start = time.process_time()
    usual = convolution._dense_is_small  # noqa: SLF001
    while len(widths) < options.cases:
        kernel, geometry = case(rng)
        dense = len(widths) % 4 == 0
        convolution._dense_is_small = usual if dense else lambda *_: False  # noqa: SLF001
        try:
            bracket = convolution_norm(kernel, geometry)
        except TensorError:
            continue  # no such convolution
        scale = float(kernel.abs().max())
        rows = operator(kernel.double() / scale, geometry)
        if rows.numel() > MOST_ENTRIES or not rows.numel():
            continue
        exact = float(torch.linalg.matrix_norm(rows, 2)) * scale
        if not bracket.lower * (1 - ROUNDING) <= exact <= bracket.upper * (1 + ROUNDING):
            faults.append((geometry, tuple(kernel.shape), bracket, exact))
        kinds["by a dense matrix" if dense else geometry.padding_mode] += 1
        widths.append(bracket.upper / bracket.lower - 1 if bracket.lower else 0.0)
        above.append(bracket.upper / exact - 1 if exact else 0.0)
    used = time.process_time() - start
    print(f"{len(widths)} cases, seed {options.seed}, torch {torch.__version__}, {used:.0f} s")
    print(", ".join(f"{name}: {count}" for name, count in sorted(kinds.items())))
    print(f"ends on the wrong side: {len(faults)}")
    for fault in faults[:10]:
        print("  ", *fault)
    for name, numbers in (("width", widths), ("upper end above the norm", above)):
        print(f"{name}: {statistics.median(numbers):.2%} median, {max(numbers):.2%} largest")


if __name__ == "__main__":
    main()
