"""Every layer of a network, measured as it is stored and as it is applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from dlgen_cli.devices import one_thread, resolve_float64_device
from dlgen_cli.errors import TensorError
from dlgen_cli.evidence.layer_cache import MeasurementCache, cache_directory, measurement_key
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.small_matrices import SmallMatrices
from dlgen_cli.evidence.workers import BUDGET, run_within
from dlgen_cli.networks import EffectiveLayer, GraphLayer, ReadNetwork, effective_layer
from dlgen_cli.processes import exchange, process_count, process_rank, shares
from dlgen_cli.records import Interval, LayerSpectrum
from dlgen_cli.spectra import Enclosures, measure_layer, operator_norm, scaled_norm

#: Called as work gets done: what was measured last, weights done, weights in all.
Progress = Callable[[str, int, int], None]

_WIDE_ORDER = 64  # the smaller side of a kernel whose Gram polynomial is large
_WORTH_KEEPING = 1e7  # products; less is measured faster than found


@dataclass(frozen=True, slots=True)
class Measured:
    """One layer, as it is stored and as the network applies it.

    Attributes:
        stored: for the report.
        applied: for the bounds, batch normalization folded in.
    """

    stored: LayerSpectrum
    applied: LayerSpectrum


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A layer that cannot be measured, such as one with a NaN.

    Attributes:
        name: of the layer.
        error: why.
    """

    name: str
    error: TensorError


def measure(
    options: AuditOptions, read: ReadNetwork, progress: Progress, *, for_bounds: bool
) -> tuple[list[Measured], list[Unmeasured]]:
    """Measure every layer that was not left out.

    Layers are read, measured and let go one by one, those that take longest first, several at once
    where there are threads and memory allows. Under ``torchrun`` each process measures its share.
    The numbers depend on neither.

    Args:
        options: rank, device, and whether measurements are kept on disk.
        read: the network.
        progress: called after each layer.
        for_bounds: measure the tails of all layers, of folded ones too; otherwise of a folded one
            only the norm, and ``applied`` is ``stored``.

    Returns:
        The layers that were measured, and those that could not be: a tensor is not finite, or its
        norm leaves the floats.

    Raises:
        UsageError: there is no such device.
        TensorError: no layer could be measured; the first is named.
    """
    device = resolve_float64_device(options.device)
    cache = MeasurementCache(cache_directory()) if options.cache else None
    left_out = {one.name for one in read.skipped}
    kept = [layer for layer in read.network.layers.values() if layer.name not in left_out]
    mine = [
        kept[index]
        for index in shares([_work(layer) for layer in kept], process_count())[process_rank()]
    ]
    small = SmallMatrices(mine if device.type == "cpu" else [], read.tensors)
    meter = _Meter(read, options, for_bounds, device, cache, small)
    parts = exchange(lambda: _measure_share(meter, mine, progress))
    if cache is not None:
        cache.trim()
    found = [one for part in parts for one in part]
    measured = {one.stored.name: one for one in found if isinstance(one, Measured)}
    failed = {one.name: one for one in found if isinstance(one, Unmeasured)}
    if failed and not measured:
        raise next(failed[layer.name] for layer in kept if layer.name in failed).error
    return (
        [measured[layer.name] for layer in kept if layer.name in measured],
        [failed[layer.name] for layer in kept if layer.name in failed],
    )


def _measure_share(
    meter: _Meter, layers: Sequence[GraphLayer], progress: Progress
) -> list[Measured | Unmeasured]:
    layers = sorted(layers, key=_work, reverse=True)
    sizes = [math.prod(layer.weight_shape) for layer in layers]
    total, done = sum(sizes), 0
    budget = max(3 * 8 * max(sizes, default=0), BUDGET)
    workers = torch.get_num_threads() if meter.device.type == "cpu" else 1
    found: list[Measured | Unmeasured] = []
    progress(f"measuring {layers[0].name}" if layers else "", done, total)
    with one_thread():
        for index, measured in run_within(
            budget,
            [_needed_bytes(layer) for layer in layers],
            lambda index: meter.measure_or_name(layers[index]),
            workers=workers,
        ):
            found.append(measured)
            done += sizes[index]
            progress(f"measuring {layers[index].name}", done, total)
    return found


def _order(layer: GraphLayer) -> int:
    """Entries of the smaller side of the layer's matrix."""
    if layer.is_stored_whole:
        return 1
    rows = layer.weight_shape[0]
    return min(rows, math.prod(layer.weight_shape) // rows)


def _needed_bytes(layer: GraphLayer) -> int:
    """What measuring needs, roughly.

    A few copies of the weight, three Gram matrices, and of a wide kernel the Gram polynomial.
    """
    entries, order = math.prod(layer.weight_shape), _order(layer)
    taps = math.prod(layer.weight_shape[2:])
    polynomial = 32 * taps * order**2 if taps > 1 and order > _WIDE_ORDER else 0
    return 24 * entries + 3 * 8 * order**2 + polynomial


def _work(layer: GraphLayer) -> float:
    """Products that measuring takes, roughly."""
    frequencies = 1 if len(layer.weight_shape) == 2 else 64  # of a convolution's map
    return math.prod(layer.weight_shape) * (_order(layer) * frequencies + 1.0)


@dataclass(frozen=True, slots=True)
class _Meter:
    """How each layer is measured."""

    read: ReadNetwork
    options: AuditOptions
    for_bounds: bool
    device: torch.device
    cache: MeasurementCache | None
    small: SmallMatrices

    @property
    def geometry(self) -> Literal["known", "assumed"]:
        return "known" if self.read.structure == "graph" else "assumed"

    @property
    def with_values(self) -> bool:
        """Whether the report needs singular values or a truncation."""
        return self.options.singular_values or self.options.r is not None

    def measure_or_name(self, layer: GraphLayer) -> Measured | Unmeasured:
        """Measure one layer; name it where that fails for its entries."""
        try:
            return self.measure(layer)
        except TensorError as error:
            return Unmeasured(layer.name, error)

    def measure(self, layer: GraphLayer) -> Measured:
        """Read and measure one layer, or recall its measurement."""
        together = self.small.take(layer)
        if together is not None:
            one, known = together
            return Measured(*self._measure(one, known=known))

        def spectra() -> tuple[LayerSpectrum, LayerSpectrum]:
            folded = layer if layer.is_folded else None
            return self._measure(self._effective(layer.unfolded), folded)

        if self.cache is None or _work(layer) < _WORTH_KEEPING:
            return Measured(*spectra())
        forms = [layer.unfolded, layer] if layer.is_folded else [layer]
        key = measurement_key(
            map(self._effective, forms),
            geometry=self.geometry,
            rank=self.options.r,
            tolerance=self.options.tolerance,
            with_values=self.with_values,
            for_bounds=self.for_bounds,
            device=self.device.type,
        )
        return Measured(*self.cache.recall(key, layer.name, spectra))

    def _effective(self, layer: GraphLayer) -> EffectiveLayer:
        return effective_layer(layer, self.read.tensors)

    def _measure(
        self,
        effective: EffectiveLayer,
        folded: GraphLayer | None = None,
        known: Enclosures | None = None,
    ) -> tuple[LayerSpectrum, LayerSpectrum]:
        """Measure a layer as stored and, where it is another map, as applied.

        Of one that only the table shows the norms are enough.
        """
        stored = self._spectrum(
            effective, with_values=folded is None and self.for_bounds, known=known
        )
        if folded is None:
            return stored, stored
        applied = self._effective(folded)
        norm = scaled_norm(stored.spectral_norm, effective, applied.weight)
        if self.for_bounds:
            found = self._spectrum(applied, with_values=True, norm=norm)
            return replace(stored, folded_norm=found.spectral_norm), found
        folded_norm = operator_norm(
            applied, geometry=self.geometry, tolerance=self.options.tolerance, norm=norm
        )
        shown = replace(stored, folded_norm=folded_norm)
        return shown, shown

    def _spectrum(
        self,
        effective: EffectiveLayer,
        *,
        with_values: bool,
        norm: Interval | None = None,
        known: Enclosures | None = None,
    ) -> LayerSpectrum:
        return measure_layer(
            effective,
            geometry=self.geometry,
            rank=self.options.r,
            norms_only=not (with_values or self.with_values),
            tolerance=self.options.tolerance,
            norm=norm,
            device=self.device,
            known=known,
        )
