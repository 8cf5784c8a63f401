"""Every layer of a network, measured as it is stored and as it is applied."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from dlgen_cli.audit.options import AuditOptions
from dlgen_cli.bounds.ranges import require_count
from dlgen_cli.records import LayerSpectrum

if TYPE_CHECKING:
    import torch

    from dlgen_cli.networks import GraphLayer, ReadNetwork

#: Called before each piece of work: what is measured, pieces done, pieces in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """One layer, as it is stored and as the network applies it.

    Attributes:
        stored: for the report.
        applied: for the bounds, batch normalization folded in.
    """

    stored: LayerSpectrum
    applied: LayerSpectrum


def measure(
    options: AuditOptions, read: ReadNetwork, progress: Progress, *, for_bounds: bool
) -> list[Measured]:
    """Measure every layer that was not left out.

    Args:
        options: rank and device.
        read: the network.
        progress: called before each layer.
        for_bounds: measure the tails of folded layers too; otherwise only their norm, and
            ``applied`` is ``stored``.

    Raises:
        UsageError: r is below 1, or there is no such device.
        TensorError: a tensor is not finite or its norm leaves the floats; it is named.
    """
    from dlgen_cli.devices import resolve_float64_device, threads_for

    if options.r is not None:
        require_count("r", options.r)
    device = resolve_float64_device(options.device)
    left_out = {one.name for one in read.skipped}
    kept = [layer for layer in read.network.layers.values() if layer.name not in left_out]
    measured = []
    for done, layer in enumerate(kept):
        progress(layer.name, done, len(kept))
        with threads_for(math.prod(layer.weight_shape)):
            measured.append(_measure_layer(layer, read, options.r, device, for_bounds=for_bounds))
    progress("", len(kept), len(kept))
    return measured


def _measure_layer(
    layer: GraphLayer,
    read: ReadNetwork,
    rank: int | None,
    device: torch.device,
    *,
    for_bounds: bool,
) -> Measured:
    from dlgen_cli.networks import effective_layer
    from dlgen_cli.spectra import measure_layer, operator_norm

    geometry: Literal["known", "assumed"] = "known" if read.structure == "graph" else "assumed"

    def measured(one: GraphLayer) -> LayerSpectrum:
        effective = effective_layer(one, read.tensors)
        return measure_layer(effective, geometry=geometry, rank=rank, device=device)

    if layer.batch_norm is None or layer.kind == "diagonal":
        applied = measured(layer)
        return Measured(applied, applied)
    stored = measured(replace(layer, batch_norm=None))
    if for_bounds:
        applied = measured(layer)
        return Measured(replace(stored, folded_norm=applied.spectral_norm), applied)
    norm = operator_norm(effective_layer(layer, read.tensors), geometry=geometry)
    shown = replace(stored, folded_norm=norm)
    return Measured(shown, shown)
