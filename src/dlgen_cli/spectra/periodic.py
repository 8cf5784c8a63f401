"""The periodic convolution that a convolution on a known map is a part of.

With circular padding it is on the map itself, else on a torus that is a little larger
(`geometry.enclosing_torus`), which the stride divides. With stride s on n cells the outputs read
from places ``s x mod n``, multiples of ``g = gcd(n, s)``: the operator keeps some rows of the one
of stride g, whose polyphase form has n/g frequencies. The largest ``||K(w)||`` over these
frequencies alone is its norm, which bounds the one on the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from dlgen_cli.spectra.geometry import (
    ConvolutionGeometry,
    enclosing_torus,
    frequency_step,
    output_size,
    transfer_taps,
)
from dlgen_cli.spectra.transfer import Frequencies


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicForm:
    """A periodic convolution in its polyphase form.

    Attributes:
        taps: shape ``(groups, p, m, *q)`` with ``m <= p``, float64; axes with one tap are left out.
        points: frequencies on every axis.
        steps: the frequencies on axis j are ``2 pi steps_j x / points_j``.
    """

    taps: torch.Tensor
    points: tuple[int, ...]
    steps: tuple[int, ...]

    @staticmethod
    def of(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> PeriodicForm:
        """The form of a kernel ``(o, i/groups, *k)`` whose geometry has an ``input_size``."""
        circular = geometry.padding_mode == "circular"
        size = (geometry.input_size or ()) if circular else enclosing_torus(kernel, geometry)
        stride = tuple(math.gcd(n, s) for n, s in zip(size, geometry.stride, strict=True))
        taps = transfer_taps(kernel, stride, geometry.dilation, geometry.groups)
        axes = [j for j, q in enumerate(taps.shape[3:]) if q > 1]
        return PeriodicForm(
            taps=without_single_taps(taps),
            points=tuple(size[j] // stride[j] for j in axes),
            steps=tuple(frequency_step(stride[j], geometry.dilation[j]) for j in axes),
        )

    @property
    def degrees(self) -> tuple[int, ...]:
        """Taps minus one on every axis."""
        return tuple(size - 1 for size in self.taps.shape[3:])

    def frequencies(self, groups: int) -> Frequencies:
        """Those of the groups from the first on, one of each pair ``w, -w``."""
        return grid_frequencies(self.points, self.steps, groups)


def without_single_taps(taps: torch.Tensor) -> torch.Tensor:
    """Taps ``(groups, p, m, *q)`` without the axes on which there is one alone."""
    return taps.reshape(*taps.shape[:3], *(size for size in taps.shape[3:] if size > 1))


def grid_frequencies(points: tuple[int, ...], steps: tuple[int, ...], groups: int) -> Frequencies:
    """The frequencies ``2 pi step j / n`` on every axis, one of each pair ``w, -w``."""
    sizes = torch.tensor(points, dtype=torch.int64)
    weights = torch.tensor([math.prod(points[:j]) for j in range(len(points))], dtype=torch.int64)
    places = torch.zeros(1, 0, dtype=torch.int64)
    if points:
        places = torch.cartesian_prod(*map(torch.arange, points)).reshape(-1, len(points))
        mirrored = (-places).remainder(sizes)
        places = places[(places @ weights) <= (mirrored @ weights)]
        places = (places * torch.tensor(steps)).remainder(sizes)
    group = torch.arange(groups).repeat_interleave(len(places))
    return Frequencies(group, places.repeat(groups, 1), points)


def is_circulant(kernel: torch.Tensor, geometry: ConvolutionGeometry) -> bool:
    """Whether the operator is the periodic one, of which every row occurs, and once."""
    size = geometry.input_size or ()
    rows = output_size(kernel, geometry)
    return geometry.padding_mode == "circular" and all(
        n % s == 0 and r == n // s for n, s, r in zip(size, geometry.stride, rows, strict=True)
    )
