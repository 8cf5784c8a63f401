"""Measure brackets of convolution norms: their excess, and their time against plain SVDs.

Run: python benchmarks/convolution_norms.py > benchmarks/results/convolution_norms.txt
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from itertools import product

import torch
import torchvision

from dlgen_cli.records import Interval
from dlgen_cli.spectra.convolution import ConvolutionGeometry, convolution_norm

SVD_SAMPLE = 4  # frequencies whose plain SVD is timed
ROUNDS = 1
TOLERANCES = (0.02, 9e-4)

Clock = Callable[[], float]


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def geometry(axes: int, stride: int = 1, groups: int = 1) -> ConvolutionGeometry:
    return ConvolutionGeometry(
        stride=(stride,) * axes, padding=(1,) * axes, dilation=(1,) * axes, groups=groups
    )


def grid_norm(kernel: torch.Tensor, points: int) -> float:
    """Largest norm over a grid, at stride 1: a little below the supremum."""
    grid = torch.fft.fft2(kernel.double(), s=(points, points)).permute(2, 3, 0, 1)
    half = grid[:, : points // 2 + 1].flatten(0, 1)
    return max(float(torch.linalg.matrix_norm(part, 2).max()) for part in half.split(256))


def excess() -> None:
    print("Upper end over the maximum on a 256 x 256 grid; random normal kernels, stride 1")
    print(f"{'kernel':>16} {'kernels':>8} {'median':>10} {'largest':>10} {'width':>10}")
    generator = torch.Generator().manual_seed(0)
    for shape, count in (
        ((1, 1, 3, 3), 100),
        ((1, 1, 7, 7), 100),
        ((4, 4, 3, 3), 100),
        ((8, 8, 5, 5), 10),
    ):
        over, wide = [], []
        for _ in range(count):
            kernel = torch.randn(shape, generator=generator)
            found = convolution_norm(kernel, geometry(2))
            over.append(found.upper / grid_norm(kernel, 256) - 1)
            wide.append(found.upper / found.lower - 1)
        name = "x".join(map(str, shape))
        row = f"{median(over):>10.4%} {max(over):>10.4%} {max(wide):>10.4%}"
        print(f"{name:>16} {count:>8} {row}")
    print()


def mobilenet() -> None:
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(weights=None)
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]

    def bracket_all() -> list[Interval]:
        return [
            convolution_norm(
                layer.weight.detach(),
                ConvolutionGeometry(
                    stride=layer.stride,
                    padding=layer.padding,
                    dilation=layer.dilation,
                    groups=layer.groups,
                ),
            )
            for layer in layers
        ]

    bracket_all()
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        brackets = bracket_all()
        seconds.append(time.perf_counter() - start)
    widest = max(found.upper / found.lower - 1 for found in brackets)
    print(f"MobileNetV2, {len(layers)} convolutions, lattice norms")
    print(f"  median {median(seconds):.3f} s, least {min(seconds):.3f} s of {len(seconds)} runs")
    print(f"  widest bracket {widest:.4%}")
    print()


def plain_svd_seconds(kernel: torch.Tensor, clock: Clock) -> float:
    """Seconds that complex SVDs on a 32 x 32 grid would take, from a sample of frequencies."""
    grid = torch.fft.fft2(kernel.double(), s=(32, 32)).permute(2, 3, 0, 1).flatten(0, 1)
    sample = grid[:: len(grid) // SVD_SAMPLE].contiguous()
    start = clock()
    torch.linalg.svdvals(sample)
    return (clock() - start) * len(grid) / len(sample)


def wide(threads: int, clock: Clock, clock_name: str) -> None:
    print("512 x 512 x 3 x 3: bracket against plain complex SVDs on a 32 x 32 grid")
    print(f"  {threads} threads, {clock_name}; SVDs timed before and after each bracket")
    print(f"{'kernel':>22} {'width':>9} {'bracket s':>10} {'SVD s':>8} {'ratio':>7}")
    before_threads = torch.get_num_threads()
    torch.set_num_threads(threads)
    for (name, kernel), tolerance in product(wide_kernels().items(), TOLERANCES):
        rows = []
        for _ in range(ROUNDS):
            before = plain_svd_seconds(kernel, clock)
            start = clock()
            found = convolution_norm(kernel, geometry(2), tolerance)
            seconds = clock() - start
            svd = (before + plain_svd_seconds(kernel, clock)) / 2
            rows.append((svd / seconds, seconds, svd, found.upper / found.lower - 1))
        ratio, seconds, svd, width = sorted(rows)[len(rows) // 2]
        print(f"{name:>22} {width:>9.4%} {seconds:>10.2f} {svd:>8.1f} {ratio:>7.1f}", flush=True)
    torch.set_num_threads(before_threads)
    print()


def wide_kernels() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(512, 512, 3, 3, generator=generator) / math.sqrt(512 * 9)
    window = torch.tensor([[0.3, 0.6, 0.3], [0.6, 1.0, 0.6], [0.3, 0.6, 0.3]])
    mean = torch.outer(torch.rand(512, generator=generator), torch.rand(512, generator=generator))
    orthogonal = torch.zeros(512, 512, 3, 3)
    orthogonal[:, :, 1, 1] = torch.linalg.qr(torch.randn(512, 512, generator=generator))[0]
    return {
        "random normal": random,
        "with a smooth mean": random * window + 0.01 * mean[..., None, None] * window,
        "orthogonal at centre": orthogonal + 1e-5 * random,
    }


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    print()
    mobilenet()
    wide(1, time.process_time, "processor time")
    wide(torch.get_num_threads(), time.perf_counter, "wall time")
    excess()


if __name__ == "__main__":
    main()
