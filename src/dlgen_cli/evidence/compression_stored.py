"""The network of a compression bound, really stored: factors in b bits, and how far it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dlgen_cli.bounds import LayerNorms
from dlgen_cli.checkpoints.runs.low_rank import Factors, Whole, store_factors, store_whole
from dlgen_cli.devices import one_thread
from dlgen_cli.evidence.layers import Measured, Progress
from dlgen_cli.evidence.workers import BUDGET, run_within
from dlgen_cli.networks import EffectiveLayer, GraphLayer, ReadNetwork, effective_layer
from dlgen_cli.networks.layer_kinds import kind_of
from dlgen_cli.records import LayerSpectrum
from dlgen_cli.spectra import residual, squared_distance_upper

_BYTES_EACH = 80  # for each of their entries
_WIDE_ENTRIES = 1 << 19  # with more, complexity outweighs the error: a wider bracket will do
_WIDE_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """One layer as it is stored.

    Attributes:
        layer: its facts.
        weight: the folded weight in b bits.
        bias: the folded bias in b bits; None without one.
        norms: the applied layer against the stored one, measured upward.
    """

    layer: GraphLayer
    weight: Factors | Whole
    bias: Whole | None
    norms: LayerNorms

    @property
    def stored_bits(self) -> int:
        """Entries and scales."""
        return self.weight.stored_bits + (self.bias.stored_bits if self.bias else 0)


def store_network(
    read: ReadNetwork,
    layers: Sequence[Measured],
    ranks: Mapping[str, int | None],
    bits: int,
    tolerance: float,
    *,
    progress: Progress,
) -> list[StoredLayer]:
    """Store every layer and measure how far the stored one is from the applied one.

    Args:
        read: the network.
        layers: what was measured of it.
        ranks: by layer; None stores the weight whole.
        bits: b, from 1 to 32.
        tolerance: relative width of a convolution's bracket.
        progress: called after each layer, with weights done and weights in all.

    Returns:
        One for each measured layer, in order.
    """
    spectra = [measured.applied for measured in layers]
    order = sorted(range(len(spectra)), key=lambda index: -spectra[index].parameters)

    def store(place: int) -> StoredLayer:
        spectrum = spectra[order[place]]
        return _store_layer(
            effective_layer(read.network.layers[spectrum.name], read.tensors),
            spectrum,
            ranks[spectrum.name],
            bits,
            read.structure,
            tolerance,
        )

    needs = [_BYTES_EACH * spectra[index].parameters for index in order]
    workers = torch.get_num_threads()
    found: dict[int, StoredLayer] = {}
    done, total = 0, sum(spectrum.parameters for spectrum in spectra)
    with one_thread():
        for place, stored in run_within(BUDGET, needs, store, workers=workers):
            found[place] = stored
            done += spectra[order[place]].parameters
            progress(f"storing {stored.layer.name} in {bits} bits", done, total)
    return [found[place] for place in sorted(found, key=order.__getitem__)]


def _store_layer(
    effective: EffectiveLayer,
    spectrum: LayerSpectrum,
    rank: int | None,
    bits: int,
    structure: str,
    tolerance: float,
) -> StoredLayer:
    weight, bias = encode(effective, rank, bits)
    bias_error = _bias_error(effective, bias)
    rest = residual(effective, weight.weight(), weight.rounding_magnitude(), products=weight.rank)
    del effective
    if spectrum.parameters > _WIDE_ENTRIES:
        tolerance = max(tolerance, _WIDE_TOLERANCE)
    error = rest.norm_upper(
        geometry="known" if structure == "graph" else "assumed", tolerance=tolerance
    )
    norm = spectrum.spectral_norm.upper
    return StoredLayer(
        layer=rest.layer,
        weight=weight,
        bias=bias,
        norms=LayerNorms(
            norm_upper=norm,
            moved_norm_upper=math.nextafter(norm + error, math.inf),
            error_upper=error,
            moved_bias_norm_upper=math.nextafter(spectrum.bias_norm_upper + bias_error, math.inf),
            bias_error_upper=bias_error,
        ),
    )


def encode(
    effective: EffectiveLayer, rank: int | None, bits: int
) -> tuple[Factors | Whole, Whole | None]:
    """Weight and bias of a layer in b bits.

    Args:
        effective: the layer with the tensors that it really applies.
        rank: of the factors; None stores the weight whole, as a diagonal map always is.
        bits: b, from 1 to 32.
    """
    wide = effective.weight.to(torch.float64)
    is_whole = rank is None or kind_of(effective.layer).is_diagonal
    weight = store_whole(wide, bits) if is_whole else store_factors(wide, rank or 1, bits)
    return weight, store_whole(effective.bias, bits) if effective.bias is not None else None


def _bias_error(effective: EffectiveLayer, bias: Whole | None) -> float:
    """``||c - c'||`` over the whole output, with the rounding of folding."""
    if bias is None or effective.bias is None:
        return 0.0
    moved = math.sqrt(squared_distance_upper(effective.bias, bias.weight()))
    total = (moved + effective.bias_rounding_upper) * math.sqrt(effective.layer.positions)
    return total * (1 + 2.0**-48)


def state_dict_of(
    read: ReadNetwork, stored: Sequence[StoredLayer]
) -> tuple[dict[str, Factors | Whole], dict[str, Tensor]]:
    """The stored network as a state dict of the same architecture.

    Batch normalization that was folded becomes the identity with the folded bias: weight 1, mean
    0, variance ``1 - epsilon``. A second name of a tensor has a copy of what is stored under the
    first. Tensors that evaluation does not read stay as they are.

    Returns:
        Weights and biases that are stored in b bits, by name, and the tensors that are fixed.
    """
    packed: dict[str, Factors | Whole] = {}
    fixed: dict[str, Tensor] = {}
    for one in stored:
        layer, norm = one.layer, one.layer.batch_norm
        if norm is None:
            is_turned = layer.recipe is not None and layer.recipe.is_transposed
            packed[layer.name] = one.weight.turned() if is_turned else one.weight
            if one.bias is not None and layer.bias_name is not None:
                packed[layer.bias_name] = one.bias
            continue
        channels = layer.channels
        fixed[f"{norm.module}.running_mean"] = torch.zeros(channels, dtype=torch.float64)
        variance = torch.full((channels,), 1.0 - norm.epsilon, dtype=torch.float64)
        fixed[f"{norm.module}.running_var"] = variance
        packed[layer.weight_name] = one.weight
        if layer.is_folded:
            fixed[f"{norm.module}.weight"] = torch.ones(channels, dtype=torch.float64)
            if layer.has_own_bias:
                fixed[layer.own_bias_name] = torch.zeros(channels, dtype=torch.float64)
        if one.bias is not None:
            packed[f"{norm.module}.bias"] = one.bias
    for name in read.tensors:
        first = read.tied.get(name)
        if name not in packed and first in packed:
            packed[name] = packed[first].copy()
        elif name not in packed and name not in fixed:
            fixed[name] = read.tensors[name]
    return packed, fixed
