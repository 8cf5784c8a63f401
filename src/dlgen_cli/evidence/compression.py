"""The compression bounds of a measured network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dlgen_cli import bounds
from dlgen_cli.bounds.compression import ALL_RANKS, FIXED_RANK
from dlgen_cli.bounds.compression_layer_ranks import LAYER_RANKS
from dlgen_cli.bounds.compression_stored import STORED
from dlgen_cli.bounds.layered_network import rows_and_columns
from dlgen_cli.bounds.ranges import require_positive
from dlgen_cli.checkpoints.runs.run_config import RunConfig
from dlgen_cli.datasets import norm_bound
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.compression_stored import StoredLayer, store_network
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.options import WIDTHS, AuditOptions
from dlgen_cli.evidence.plan import Plan, equal_share
from dlgen_cli.networks import ASSUMED_ACTIVATION
from dlgen_cli.records import (
    DIAGONAL_KINDS,
    MOST_STORED_BITS,
    Assumption,
    Bound,
    GraphNode,
    LayerSpectrum,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionAudit:
    """The compression theorems applied to one measured network.

    Attributes:
        inputs: what they draw on.
        beta: Lipschitz constant of the loss.
        gamma: Lipschitz constant of the activations.
        radius: bound on the norm of inputs.
        lines: the ledger that all share.
    """

    inputs: Inputs
    beta: ledger.Declared
    gamma: ledger.Declared
    radius: ledger.Declared
    lines: Sequence[Assumption]

    @property
    def widths(self) -> Sequence[int]:
        """The bits for each parameter that there are to choose from."""
        return WIDTHS if self.inputs.options.b is None else (self.inputs.options.b,)

    @property
    def applies(self) -> bool:
        """Whether the theorem can speak of the network as it was read."""
        return not self.inputs.read.skipped and self.inputs.read.obstacle is None

    def setting(self, delta: float, bits: int) -> bounds.CompressionSetting:
        """The shared numbers at a failure probability and a width."""
        return bounds.CompressionSetting(
            bits_per_parameter=bits,
            examples=self.inputs.m,
            delta=delta,
            loss_lipschitz=self.beta.value,
            radius=self.radius.value,
        )

    def store(
        self, network: bounds.LayeredNetwork, bits: int, ranks: Mapping[str, int | None]
    ) -> StoredAt:
        """Store the network at given ranks; None stores a weight whole."""
        largest = {map_.name: map_.largest_rank for map_ in network.maps}
        return StoredAt(
            bits=bits,
            layers=store_network(
                self.inputs.read,
                self.inputs.layers,
                ranks,
                bits,
                self.inputs.options.tolerance,
                progress=self.inputs.progress,
            ),
            ranks={name: largest[name] if rank is None else rank for name, rank in ranks.items()},
            whole=[name for name, rank in ranks.items() if rank is None],
        )

    def best_ranks(self, network: bounds.LayeredNetwork, bits: int) -> dict[str, int | None]:
        """The ranks that `compression.layer_ranks` chooses; None where a weight stays whole."""
        setting = self.setting(self.inputs.options.delta, bits)
        terms = bounds.layer_ranks(network, setting).terms
        whole = set(terms["stored_whole"])
        return {name: None if name in whole else rank for name, rank in terms["ranks"].items()}

    def bound_stored(self, network: bounds.LayeredNetwork, stored: StoredAt, delta: float) -> Bound:
        """`compression.stored`, with the choice of ranks and of the width paid for."""
        return bounds.stored(
            network,
            self.setting(delta, stored.bits),
            {layer.layer.name: layer.norms for layer in stored.layers},
            ranks=stored.ranks,
            stored_whole=stored.whole,
            stored_bits=sum(layer.stored_bits for layer in stored.layers),
            choices=len(self.widths) * math.prod(map_.largest_rank for map_ in network.maps),
            assumptions=[*self.lines, ledger.stored_line(stored.bits)],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAt:
    """A network stored at one width.

    Attributes:
        bits: b.
        layers: as stored, with their measured distance.
        ranks: by layer.
        whole: the layers that are not factored.
    """

    bits: int
    layers: Sequence[StoredLayer]
    ranks: Mapping[str, int]
    whole: Sequence[str]


def prepare_compression(inputs: Inputs) -> CompressionAudit:
    """Settle the numbers and the ledger of the compression theorems.

    Raises:
        UsageError: ``--beta`` and ``--margin`` contradict each other, or a number is out of range.
    """
    options, config = inputs.options, inputs.checkpoint.config
    if options.beta is not None and options.margin is not None:
        raise UsageError(
            "Both --beta and --margin were given; they set the same constant.",
            remedy="Give one of them.",
        )
    if options.gamma is not None:
        require_positive("gamma", options.gamma)
    beta = _lipschitz(options)
    gamma = _declared(options.gamma, "--gamma")
    radius = _declared(options.radius, "--radius")
    input_norm = _input_norm(config) if config is not None else None
    if options.radius is None and input_norm is not None:
        radius = ledger.Declared(value=input_norm, option=None)
    prepared = CompressionAudit(
        inputs=inputs,
        beta=beta,
        gamma=gamma,
        radius=radius,
        lines=[
            *inputs.sample,
            *ledger.structure_lines(inputs.read, options.arch),
            ledger.activation_line(gamma, inputs.read),
            ledger.radius_line(radius, input_norm),
            ledger.loss_line(beta, options.margin),
        ],
    )
    prepared.setting(options.delta, prepared.widths[0])  # refuses numbers out of range
    return prepared


def _input_norm(config: RunConfig) -> float:
    """The largest norm of an input of the recorded shape at the recorded scale."""
    shape, scale = config["input"]["shape"], float(np.float32(config["input"]["scale"]))
    return norm_bound(math.prod(shape), scale, is_features="features" in config)


def plan_compression(inputs: Inputs) -> Plan:
    """Prepare the compression bounds; the network is stored and measured once.

    Raises:
        UsageError: as `prepare_compression`.
    """
    prepared = prepare_compression(inputs)
    options = inputs.options
    settings = {
        "b": options.b or "auto",
        "beta": prepared.beta.value,
        "margin": options.margin,
        "gamma": prepared.gamma.value,
        "radius": prepared.radius.value,
    }
    evaluate = _evaluator(prepared) if prepared.applies else _withheld(prepared)
    is_stored = prepared.widths[0] <= MOST_STORED_BITS
    return Plan(
        settings=settings,
        evaluate=evaluate,
        preferred=STORED.name if is_stored else LAYER_RANKS.name,
    )


_Evaluate = Callable[[float], Sequence[Bound]]


def _withheld(prepared: CompressionAudit) -> _Evaluate:
    theorems = [ALL_RANKS, LAYER_RANKS, STORED]
    if prepared.inputs.options.r is not None:
        theorems.insert(0, FIXED_RANK)
    return lambda _delta: [theorem.withheld(prepared.lines) for theorem in theorems]


def _evaluator(prepared: CompressionAudit) -> _Evaluate:
    network = layered_network(prepared.inputs, prepared.gamma.value)
    rank = prepared.inputs.options.r
    stored = [
        prepared.store(network, bits, prepared.best_ranks(network, bits))
        for bits in prepared.widths
        if bits <= MOST_STORED_BITS
    ]
    distances = network.rank_distances(prepared.radius.value)

    def evaluate(delta: float) -> list[Bound]:
        found = [prepared.bound_stored(network, one, delta) for one in stored]
        best = min(found, key=lambda bound: bound.log10_value or 0.0, default=None)
        bits = best.terms["bits_per_parameter"] if best is not None else prepared.widths[0]
        idealized = prepared.setting(equal_share(delta, len(prepared.widths)), bits)
        lines = [*prepared.lines, ledger.bits_line(bits)]
        if best is None:
            best = STORED.withheld([*prepared.lines, ledger.width_line(bits)])
        fixed = [bounds.fixed_rank(network, idealized, rank, lines)] if rank is not None else []
        return [
            *fixed,
            bounds.all_ranks(network, idealized, lines, distances=distances),
            bounds.layer_ranks(network, idealized, lines),
            best,
        ]

    return evaluate


def layered_network(inputs: Inputs, gamma: float) -> bounds.LayeredNetwork:
    """The network as the theorem sees it.

    Gamma is the constant of assumed activations, and raises those of known ones.
    """
    maps = [
        bounds.LinearMap(
            name=layer.name,
            rows=rows_and_columns(layer.kind, layer.shape)[0],
            columns=rows_and_columns(layer.kind, layer.shape)[1],
            norm_upper=layer.spectral_norm.upper,
            truncation_errors_upper=layer.truncation_errors_upper,
            truncated_norms_upper=_truncated_norms(layer),
            bias_norm_upper=layer.bias_norm_upper,
            bias_parameters=layer.bias_parameters,
            is_diagonal=layer.kind in DIAGONAL_KINDS,
        )
        for layer in (measured.applied for measured in inputs.layers)
    ]

    def with_gamma(node: GraphNode) -> GraphNode:
        if node.kind != "lipschitz":
            return node
        is_assumed = node.operation == ASSUMED_ACTIVATION
        factor = gamma if is_assumed else max(node.factor_upper, gamma)
        return replace(node, factor_upper=factor)

    nodes = [with_gamma(node) for node in inputs.read.network.nodes]
    return bounds.LayeredNetwork(nodes=nodes, maps=maps)


def _truncated_norms(layer: LayerSpectrum) -> list[float] | None:
    """A truncated matrix has no larger norm; of a truncated kernel the triangle tells."""
    if layer.geometry is None:
        return None
    norm = layer.spectral_norm.upper
    return [math.nextafter(norm + error, math.inf) for error in layer.truncation_errors_upper]


def _lipschitz(options: AuditOptions) -> ledger.Declared:
    if options.margin is None:
        return _declared(options.beta, "--beta")
    return ledger.Declared(value=bounds.margin_lipschitz(options.margin), option="--margin")


def _declared(given: float | None, option: str) -> ledger.Declared:
    return ledger.Declared(
        value=1.0 if given is None else given, option=None if given is None else option
    )
