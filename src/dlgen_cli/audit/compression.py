"""The compression bounds of a measured network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dlgen_cli import bounds, ledger
from dlgen_cli.audit.options import AuditOptions
from dlgen_cli.audit.plan import Inputs, Plan
from dlgen_cli.bounds.ranges import require_positive
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Bound, GraphNode, LayerSpectrum

if TYPE_CHECKING:
    from dlgen_cli.networks import ReadNetwork


def plan_compression(inputs: Inputs) -> Plan:
    """Prepare the compression bounds.

    Raises:
        UsageError: ``--beta`` and ``--margin`` contradict each other, or a number is out of range.
    """
    options = inputs.options
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
    config = inputs.checkpoint.config
    assumptions = [
        *inputs.sample,
        *ledger.structure_lines(inputs.read, options.arch),
        ledger.activation_line(gamma, inputs.read),
        ledger.radius_line(radius, config["input"]["norm_bound"] if config else None),
        ledger.loss_line(beta, options.margin),
        ledger.bits_line(options.b),
    ]
    network = _layered(inputs.read, [layer.applied for layer in inputs.layers], gamma.value)

    def evaluate(delta: float) -> list[Bound]:
        setting = bounds.CompressionSetting(
            bits_per_parameter=options.b,
            examples=inputs.m,
            delta=delta,
            loss_lipschitz=beta.value,
            radius=radius.value,
        )
        fixed = (
            [bounds.fixed_rank(network, setting, options.r, assumptions)]
            if options.r is not None
            else []
        )
        return [
            *fixed,
            bounds.all_ranks(network, setting, assumptions),
            bounds.layer_ranks(network, setting, assumptions),
        ]

    settings = {
        "b": options.b,
        "beta": beta.value,
        "margin": options.margin,
        "gamma": gamma.value,
        "radius": radius.value,
    }
    return Plan(settings=settings, evaluate=evaluate, preferred="compression.layer_ranks")


def _layered(
    read: ReadNetwork, layers: Sequence[LayerSpectrum], gamma: float
) -> bounds.LayeredNetwork:
    """The network as the theorem sees it.

    Gamma is the constant of assumed activations, and raises those of known ones.
    """
    from dlgen_cli.networks import ASSUMED_ACTIVATION

    maps = [
        bounds.LinearMap(
            name=layer.name,
            rows=layer.shape[0],
            columns=math.prod(layer.shape[1:]),
            norm_upper=layer.spectral_norm.upper,
            truncation_errors_upper=layer.truncation_errors_upper,
            truncated_norms_upper=_truncated_norms(layer),
            bias_norm_upper=layer.bias_norm_upper,
            bias_parameters=layer.bias_parameters,
            is_diagonal=layer.kind == "diagonal",
        )
        for layer in layers
    ]

    def with_gamma(node: GraphNode) -> GraphNode:
        if node.kind != "lipschitz":
            return node
        is_assumed = node.operation == ASSUMED_ACTIVATION
        factor = gamma if is_assumed else max(node.factor_upper, gamma)
        return replace(node, factor_upper=factor)

    nodes = [with_gamma(node) for node in read.network.nodes]
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
