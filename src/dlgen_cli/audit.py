"""The one assembly line: checkpoint, network, spectra, bounds, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlgen_cli import __version__, bounds, ledger
from dlgen_cli.errors import StrictError, UsageError
from dlgen_cli.records import Assumption, Bound, Headline, LayerSpectrum, Provenance, Report

if TYPE_CHECKING:
    from dlgen_cli.checkpoints import Checkpoint
    from dlgen_cli.checkpoints.anchors import AnchorTensors
    from dlgen_cli.networks import Chain

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
    from dlgen_cli.networks import read_chain

    checkpoint = open_checkpoint(options.checkpoint)
    chain = read_chain(checkpoint, include=options.include, exclude=options.exclude)
    if options.strict and chain.skipped:
        listed = "; ".join(f"{one.name}: {one.reason}" for one in chain.skipped[:3])
        raise StrictError(
            f"{len(chain.skipped)} tensors were skipped under --strict ({listed}).",
            remedy="Exclude nothing, or drop --strict to see them in the report.",
        )
    m, sample = ledger.sample_lines(checkpoint, options.m)
    settings: dict[str, Any] = {"m": m, "delta": options.delta}
    layers: list[LayerSpectrum] = []
    if with_layers or "compression" in families:
        layers = _measure(options, checkpoint, chain, progress)
        settings["r"] = options.r
    plans: dict[Family, _Plan] = {}
    for family in families:
        plan = _PLANNERS[family](_Inputs(options, checkpoint, chain, layers, m, sample))
        settings |= plan.settings
        plans[family] = plan
    shown = [
        layer if options.singular_values else replace(layer, singular_values=()) for layer in layers
    ]
    return Report(
        dlgen_version=__version__,
        command=command,
        provenance=_provenance(options, checkpoint),
        settings=settings | _selection(options),
        layers=shown,
        skipped=[*(chain.skipped if layers else ()), *chain.counters],
        bounds=[bound for plan in plans.values() for bound in plan.evaluate(options.delta)],
        headline=_headline(plans, options.delta),
    )


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the families draw on."""

    options: AuditOptions
    checkpoint: Checkpoint
    chain: Chain
    layers: Sequence[LayerSpectrum]
    m: int
    sample: Sequence[Assumption]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A family, ready to be evaluated at any delta."""

    settings: Mapping[str, Any]
    evaluate: Callable[[float], Sequence[Bound]]


def _provenance(options: AuditOptions, checkpoint: Checkpoint) -> Provenance:
    return Provenance(
        checkpoint=str(options.checkpoint),
        format=checkpoint.format,
        sha256=checkpoint.sha256,
        architecture=options.arch or checkpoint.architecture,
        structure="chain",
        parameters=checkpoint.parameters,
    )


def _selection(options: AuditOptions) -> dict[str, Any]:
    return {
        "arch": options.arch,
        "device": options.device,
        "include": list(options.include),
        "exclude": list(options.exclude),
        "strict": options.strict,
    }


def _measure(
    options: AuditOptions, checkpoint: Checkpoint, chain: Chain, progress: Progress
) -> list[LayerSpectrum]:
    from dlgen_cli.bounds.ranges import require_count
    from dlgen_cli.devices import resolve_float64_device
    from dlgen_cli.spectra import measure_layer

    if options.r is not None:
        require_count("r", options.r)
    device = resolve_float64_device(options.device)
    measured = []
    for done, layer in enumerate(chain.layers):
        progress(layer.name, done, len(chain.layers))
        weight = checkpoint.read(layer.name).to(device)
        bias = checkpoint.read(layer.bias_name).to(device) if layer.bias_name else None
        measured.append(measure_layer(layer, weight, bias, rank=options.r))
    progress("", len(chain.layers), len(chain.layers))
    return measured


def _compression(inputs: _Inputs) -> _Plan:
    options = inputs.options
    if options.beta is not None and options.margin is not None:
        raise UsageError(
            "Both --beta and --margin were given; they set the same constant.",
            remedy="Give one of them.",
        )
    beta = _lipschitz(options)
    gamma = _declared(options.gamma, "--gamma")
    radius = _declared(options.radius, "--radius")
    architecture = inputs.checkpoint.architecture
    config = inputs.checkpoint.config
    assumptions = [
        *inputs.sample,
        *ledger.chain_lines(inputs.chain, architecture, options.arch),
        ledger.activation_line(gamma, architecture or options.arch),
        ledger.radius_line(radius, config["input"]["norm_bound"] if config else None),
        ledger.loss_line(beta, options.margin),
        ledger.bits_line(options.b),
    ]
    maps = [
        bounds.LinearMap(
            name=layer.name,
            rows=layer.shape[0],
            columns=layer.shape[1],
            norm_upper=layer.spectral_norm.upper,
            truncation_errors_upper=layer.truncation_errors_upper,
            bias_norm_upper=layer.bias_norm_upper,
            bias_parameters=layer.bias_parameters,
        )
        for layer in inputs.layers
    ]

    def evaluate(delta: float) -> list[Bound]:
        setting = bounds.CompressionSetting(
            bits_per_parameter=options.b,
            examples=inputs.m,
            delta=delta,
            loss_lipschitz=beta.value,
            activation_lipschitz=gamma.value,
            radius=radius.value,
        )
        fixed = (
            [bounds.fixed_rank(maps, setting, options.r, assumptions)]
            if options.r is not None
            else []
        )
        return [
            *fixed,
            bounds.all_ranks(maps, setting, assumptions),
            bounds.layer_ranks(maps, setting, assumptions),
        ]

    settings = {
        "b": options.b,
        "beta": beta.value,
        "margin": options.margin,
        "gamma": gamma.value,
        "radius": radius.value,
    }
    return _Plan(settings, evaluate)


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
    anchors = [_measure_anchor(anchor, inputs.checkpoint) for anchor in opened]
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


def _measure_anchor(anchor: AnchorTensors, checkpoint: Checkpoint) -> bounds.Anchor:
    from dlgen_cli.spectra import squared_distance_upper, sum_up

    parts = [
        (info.name, squared_distance_upper(checkpoint.read(info.name), anchor.read(info.name)))
        for info in checkpoint.floating
    ]
    return bounds.Anchor(
        name=anchor.name,
        squared_distance_upper=sum_up([part for _, part in parts]),
        contributions=parts,
    )


def _rademacher(inputs: _Inputs) -> _Plan:
    from dlgen_cli.spectra import largest_magnitude

    options, checkpoint = inputs.options, inputs.checkpoint
    magnitudes = {
        info.name: largest_magnitude(checkpoint.read(info.name)) for info in checkpoint.floating
    }
    largest = max(magnitudes, key=lambda name: magnitudes[name])

    def evaluate(delta: float) -> list[Bound]:
        box = bounds.Box(
            parameters=checkpoint.parameters,
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
