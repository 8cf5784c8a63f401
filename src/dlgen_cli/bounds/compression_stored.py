"""The compression bound of the network that is really stored: factors rounded to b bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from dlgen_cli.bounds.arithmetic import to_float
from dlgen_cli.bounds.compression import EMPTY_TERMS, MADE_OF, SOURCE, budget_terms, evaluate
from dlgen_cli.bounds.derivations.compression import gap_by_compression
from dlgen_cli.bounds.layered_network import (
    CompressionSetting,
    LayeredNetwork,
    network_terms,
    read_network,
    read_setting,
    setting_terms,
    stored_parameters,
)
from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.recorded_fields import Fields, UnusableField
from dlgen_cli.bounds.theorem import Theorem
from dlgen_cli.records import SCALE_BITS, Assumption, Bound

#: The bits of a scale in reports that do not tell them.
_FORMER_SCALE_BITS = 64


def stored(
    network: LayeredNetwork,
    setting: CompressionSetting,
    norms: Mapping[str, LayerNorms],
    *,
    ranks: Mapping[str, int],
    stored_whole: Sequence[str] = (),
    stored_bits: int,
    choices: int,
    scale_bits: int = SCALE_BITS,
    assumptions: Sequence[Assumption] = (),
) -> Bound:
    """Bound the generalization gap by the distance to the network that is really stored.

    ``sqrt( (bits ln 2 + ln(choices/delta)) / (2m) ) + 2 beta dist`` with the code length of
    everything that is stored and the distance of the measured errors ``||W - W'||``: nothing is
    idealized. Holds with probability 1 - delta over all choices of ranks and bits at once.

    Source: `dlgen_cli.bounds.compression.SOURCE`.

    Assumes: the setting of `dlgen_cli.bounds.compression`.

    Args:
        network: graph and layers.
        setting: the shared numbers; its bits for each parameter are not read.
        norms: of every layer against what is stored, measured upward.
        ranks: by layer, for the report.
        stored_whole: the layers that are not factored.
        stored_bits: factors, biases and scales.
        choices: how many rank vectors there were to choose from, times the widths b.
        scale_bits: those among ``stored_bits`` that each tensor's scale takes.
        assumptions: the caller's ledger.

    Returns:
        An upper bound, not clipped at 1.
    """
    distance = network.distance(norms, setting.radius)
    evaluation = evaluate(setting, stored_bits, distance, choices)
    return STORED.conclude(
        value=evaluation.value,
        terms={
            "ranks": dict(ranks),
            "stored_whole": list(stored_whole),
            **({"scale_bits": SCALE_BITS} if scale_bits == SCALE_BITS else {}),
            **evaluation.terms(),
            "layer_error_upper": {name: float(one.error_upper) for name, one in norms.items()},
            "union_nats": to_float(Decimal(choices).ln()),
            **budget_terms(network, setting, choices),
            "widths": choices // math.prod(map_.largest_rank for map_ in network.maps),
            **setting_terms(setting),
            **network_terms(network, norms, setting.radius),
        },
        assumptions=assumptions,
    )


def _read_back(terms: Fields, delta: float, lines: Sequence[Assumption]) -> Bound:
    """The bits must be those of tensors of the recorded ranks."""
    network, norms = read_network(terms)
    setting, ranks = read_setting(terms, delta), terms.counts("ranks")
    whole, bits = terms.texts("stored_whole"), terms.count("bits")
    scale_bits = SCALE_BITS if terms.get("scale_bits") == SCALE_BITS else _FORMER_SCALE_BITS
    entries = setting.bits_per_parameter * stored_parameters(terms, network, ranks, whole)
    tensors = sum(
        (1 if map_.name in whole else 2) + (1 if map_.bias_parameters else 0)
        for map_ in network.maps
    )
    if bits != entries + scale_bits * tensors:
        expected = f"{entries} for the entries and {scale_bits} for each of {tensors} scales"
        raise UnusableField(terms.path("bits"), bits, expected)
    choices = terms.count("widths") * math.prod(map_.largest_rank for map_ in network.maps)
    if choices < 1:
        raise UnusableField(terms.path("widths"), terms.get("widths"), "at least 1")
    return stored(
        network,
        setting,
        norms,
        ranks=ranks,
        stored_whole=whole,
        stored_bits=bits,
        choices=choices,
        scale_bits=scale_bits,
        assumptions=lines,
    )


STORED = Theorem(
    name="compression.stored",
    family="compression",
    title="Compression to the factors that are really stored, every bit counted",
    speaks_of="the gap of the network itself, in a β-Lipschitz loss",
    source=SOURCE,
    evaluate=stored,
    read_back=_read_back,
    made_of=MADE_OF,
    is_rechosen=True,
    empty_terms={"ranks": {}, "layer_error_upper": {}, **EMPTY_TERMS},
    derive=lambda terms: gap_by_compression(terms, "union"),
)
