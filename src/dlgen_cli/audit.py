"""The one assembly line: checkpoint, network, spectra, bounds, report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlgen_cli import __version__, bounds, ledger
from dlgen_cli.bounds.ranges import require_count, require_positive
from dlgen_cli.errors import StrictError, UsageError
from dlgen_cli.records import (
    Assumption,
    Bound,
    GraphNode,
    Headline,
    LayerSpectrum,
    Provenance,
    Report,
)

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.checkpoints import Checkpoint
    from dlgen_cli.checkpoints.anchors import AnchorTensors
    from dlgen_cli.networks import ReadNetwork

Family = Literal["compression", "pac_bayes", "rademacher"]
#: Called before each piece of work: what is measured, pieces done, pieces in all.
Progress = Callable[[str, int, int], None]

#: The theorem of each family that a report stands for, fixed before any value is seen.
_PREFERRED = {
    "compression": "compression.layer_ranks",
    "pac_bayes": "pac_bayes.pinsker",
    "rademacher": "rademacher.expected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """What the user asked for; None where a default is taken.

    Attributes:
        checkpoint: file or directory.
        m: sample count.
        delta: failure probability.
        b: bits for each parameter.
        r: rank for `compression.fixed_rank` and the truncation errors of the layers.
        beta: Lipschitz constant of the loss.
        margin: margin of the ramp loss, instead of beta.
        gamma: Lipschitz constant of the activations.
        radius: bound on the norm of inputs.
        anchors: files with anchors.
        sigma: standard deviations.
        epsilon: width of a Rademacher shell.
        include: glob patterns of matrices.
        exclude: glob patterns of matrices.
        arch: the architecture that the user declares.
        input_shape: of one example, where the checkpoint does not record it.
        device: where matrices are measured.
        strict: a skipped tensor is an error.
        singular_values: report all of them.
    """

    checkpoint: Path
    m: int | None = None
    delta: float = 0.05
    b: int = 32
    r: int | None = None
    beta: float | None = None
    margin: float | None = None
    gamma: float | None = None
    radius: float | None = None
    anchors: Sequence[Path] = ()
    sigma: Sequence[float] = (0.01,)
    epsilon: float = 1e-9
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    arch: str | None = None
    input_shape: tuple[int, ...] | None = None
    device: str = "auto"
    strict: bool = False
    singular_values: bool = False


def _quiet(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""


def audit(
    options: AuditOptions,
    *,
    command: str,
    families: Sequence[Family] = (),
    with_layers: bool = True,
    progress: Progress = _quiet,
) -> Report:
    """Audit a checkpoint.

    Args:
        options: what the user asked for.
        command: name in the report.
        families: which theorems to evaluate.
        with_layers: measure the layers (compression needs them in any case).
        progress: called before each layer.

    Returns:
        The report, with a headline where a bound applies.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    from dlgen_cli.checkpoints import open_checkpoint
    from dlgen_cli.networks import read_network

    checkpoint = open_checkpoint(options.checkpoint)
    read = read_network(
        checkpoint,
        arch=options.arch,
        input_shape=options.input_shape,
        include=options.include,
        exclude=options.exclude,
    )
    if options.strict and read.skipped:
        listed = "; ".join(f"{one.name}: {one.reason}" for one in read.skipped[:3])
        raise StrictError(
            f"{len(read.skipped)} tensors were skipped under --strict ({listed}).",
            remedy="Exclude nothing, or drop --strict to see them in the report.",
        )
    m, sample = ledger.sample_lines(checkpoint, options.m)
    settings: dict[str, Any] = {"m": m, "delta": options.delta}
    layers: list[LayerSpectrum] = []
    if with_layers or "compression" in families:
        layers = _measure(options, read, progress)
        settings["r"] = options.r
    plans: dict[Family, _Plan] = {}
    for family in families:
        plan = _PLANNERS[family](_Inputs(options, checkpoint, read, layers, m, sample))
        settings |= plan.settings
        plans[family] = plan
    shown = [
        layer if options.singular_values else replace(layer, singular_values=()) for layer in layers
    ]
    return Report(
        dlgen_version=__version__,
        command=command,
        provenance=_provenance(options, checkpoint, read),
        settings=settings | _selection(options),
        layers=shown,
        skipped=[*(read.skipped if layers else ()), *read.counters],
        bounds=[bound for plan in plans.values() for bound in plan.evaluate(options.delta)],
        headline=_headline(plans, options.delta),
    )


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the families draw on."""

    options: AuditOptions
    checkpoint: Checkpoint
    read: ReadNetwork
    layers: Sequence[LayerSpectrum]
    m: int
    sample: Sequence[Assumption]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A family, ready to be evaluated at any delta."""

    settings: Mapping[str, Any]
    evaluate: Callable[[float], Sequence[Bound]]


def _provenance(options: AuditOptions, checkpoint: Checkpoint, read: ReadNetwork) -> Provenance:
    return Provenance(
        checkpoint=str(options.checkpoint),
        format=checkpoint.format,
        sha256=checkpoint.sha256,
        architecture=read.architecture,
        structure=read.structure,
        parameters=checkpoint.parameters,
    )


def _selection(options: AuditOptions) -> dict[str, Any]:
    return {
        "arch": options.arch,
        "input_shape": list(options.input_shape) if options.input_shape else None,
        "device": options.device,
        "include": list(options.include),
        "exclude": list(options.exclude),
        "strict": options.strict,
    }


def _measure(options: AuditOptions, read: ReadNetwork, progress: Progress) -> list[LayerSpectrum]:
    from dlgen_cli.devices import resolve_float64_device
    from dlgen_cli.networks import effective_layer
    from dlgen_cli.spectra import measure_layer

    if options.r is not None:
        require_count("r", options.r)
    device = resolve_float64_device(options.device)
    left_out = {one.name for one in read.skipped}
    kept = [layer for layer in read.network.layers.values() if layer.name not in left_out]
    measured = []
    for done, layer in enumerate(kept):
        progress(layer.name, done, len(kept))
        effective = effective_layer(layer, read.tensors)
        geometry: Literal["known", "assumed"] = "known" if read.structure == "graph" else "assumed"
        measured.append(measure_layer(effective, geometry=geometry, rank=options.r, device=device))
    progress("", len(kept), len(kept))
    return measured


def _compression(inputs: _Inputs) -> _Plan:
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
    network = _layered(inputs.read, inputs.layers, gamma.value)

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
    return _Plan(settings, evaluate)


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


def _pac_bayes(inputs: _Inputs) -> _Plan:
    from dlgen_cli.checkpoints.anchors import open_anchors

    options = inputs.options
    own = options.checkpoint / "init.safetensors"
    from_run = not options.anchors and own.is_file()
    paths = [own] if from_run else list(options.anchors)
    if not paths:
        raise UsageError(
            "No anchor was given; PAC-Bayes needs at least one.",
            remedy="Give --anchors FILE, for example the weights before training.",
        )
    opened = open_anchors(paths, inputs.checkpoint)
    anchors = [_measure_anchor(anchor, inputs) for anchor in opened]
    assumptions = [
        *inputs.sample,
        ledger.bounded_loss_line(),
        *ledger.anchor_lines([anchor.name for anchor in opened], from_run=from_run),
    ]

    def evaluate(delta: float) -> list[Bound]:
        return [
            theorem(anchors, options.sigma, inputs.m, delta, assumptions)
            for theorem in (bounds.anchors_union, bounds.mixture, bounds.pinsker)
        ]

    settings = {"anchors": [str(path) for path in paths], "sigma": list(options.sigma)}
    return _Plan(settings, evaluate)


def _hypothesis(inputs: _Inputs, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The parameters that the predictor really has, by name.

    A traced network's are its effective ones: batch normalization folded, weight normalization
    resolved. Otherwise they are all floating-point tensors of the checkpoint, read one by one.
    """
    from dlgen_cli.networks import SelectedTensors, effective_tensors

    if inputs.read.structure == "graph" and inputs.read.network.unsupported is None:
        return effective_tensors(inputs.read.network, tensors)
    return SelectedTensors(tensors, [info.name for info in inputs.checkpoint.floating])


def _measure_anchor(anchor: AnchorTensors, inputs: _Inputs) -> bounds.Anchor:
    from dlgen_cli.networks import CheckpointTensors
    from dlgen_cli.spectra import squared_distance_upper, sum_up

    own = _hypothesis(inputs, inputs.read.tensors)
    other = _hypothesis(inputs, CheckpointTensors(anchor.source))
    parts = [(name, squared_distance_upper(own[name], other[name])) for name in own]
    return bounds.Anchor(
        name=anchor.name,
        squared_distance_upper=sum_up([part for _, part in parts]),
        contributions=parts,
    )


def _rademacher(inputs: _Inputs) -> _Plan:
    from dlgen_cli.spectra import largest_magnitude

    options = inputs.options
    hypothesis = _hypothesis(inputs, inputs.read.tensors)
    magnitudes = {name: largest_magnitude(tensor) for name, tensor in hypothesis.items()}
    largest = max(magnitudes, key=lambda name: magnitudes[name])
    parameters = sum(tensor.numel() for tensor in hypothesis.values())

    def evaluate(delta: float) -> list[Bound]:
        box = bounds.Box(
            parameters=parameters,
            linf_norm=magnitudes[largest],
            largest=largest,
            epsilon=options.epsilon,
            examples=inputs.m,
            delta=delta,
        )
        assumptions = (*inputs.sample, ledger.bounded_loss_line())
        return [
            theorem(box, assumptions)
            for theorem in (bounds.expected, bounds.markov, bounds.printed)
        ]

    return _Plan({"epsilon": options.epsilon}, evaluate)


_PLANNERS: Mapping[Family, Callable[[_Inputs], _Plan]] = {
    "compression": _compression,
    "pac_bayes": _pac_bayes,
    "rademacher": _rademacher,
}


def _headline(plans: Mapping[Family, _Plan], delta: float) -> Headline | None:
    """The smallest of the families' preferred bounds, each evaluated at its share of delta.

    The Rademacher shells rest on an assumption that nothing can check and that is doubtful for
    thin shells: they stand for a report only where it holds nothing else.
    """
    if len(plans) > 1:
        plans = {family: plan for family, plan in plans.items() if family != "rademacher"}
    if not plans:
        return None
    share = delta / len(plans)
    candidates = [
        bound
        for family, plan in plans.items()
        for bound in plan.evaluate(share)
        if bound.theorem == _PREFERRED[family] and bound.log10_value is not None
        if bound.status != "not_applicable"
    ]
    if not candidates:
        return None
    best = min(candidates, key=lambda bound: bound.log10_value or 0.0)
    return Headline(
        theorem=best.theorem,
        value=best.value,
        log10_value=best.log10_value,
        delta=share,
        candidates=tuple(_PREFERRED[family] for family in plans),
    )
