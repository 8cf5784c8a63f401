"""The one assembly line: checkpoint, network, spectra, bounds, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlgen_cli.audit.report import report_of
from dlgen_cli.bounds.theorem import Family
from dlgen_cli.evidence.certificate import Certificate, Evidence, Maker
from dlgen_cli.evidence.compression import plan_compression
from dlgen_cli.evidence.compression_occam import occam_certificate
from dlgen_cli.evidence.inputs import Inputs, read_inputs
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.noise import noise_warning
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.evidence.pac_bayes import plan_pac_bayes
from dlgen_cli.evidence.pac_bayes_kl import kl_certificate
from dlgen_cli.evidence.plan import Plan, best_of, equal_share
from dlgen_cli.evidence.rademacher import plan_rademacher
from dlgen_cli.evidence.samples import find_samples
from dlgen_cli.records import Headline, Report

#: What evaluates the bounds of a family.
PLANNERS: Mapping[Family, Callable[[Inputs], Plan]] = {
    "compression": plan_compression,
    "pac_bayes": plan_pac_bayes,
    "rademacher": plan_rademacher,
}

#: The certificate that labelled examples add to a family; it stands for the family then.
CERTIFICATES: Mapping[Family, Maker] = {
    "compression": occam_certificate,
    "pac_bayes": kl_certificate,
}


def _quiet(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""


def audit(
    options: AuditOptions,
    *,
    command: str,
    families: Sequence[Family] = (),
    with_layers: bool = True,
    data: DataOptions | None = None,
    progress: Progress = _quiet,
    warn: Callable[[str], None] | None = None,
) -> Report:
    """Audit a checkpoint.

    Args:
        options: what the user asked for.
        command: name in the report.
        families: which theorems to evaluate.
        with_layers: measure the layers (compression needs them in any case).
        data: labelled examples; they add the certificate of each family, which then stands for it.
        progress: called before each layer.
        warn: called where a random predictor is mostly noise; None does not look.

    Returns:
        The report, with a headline where a bound applies.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    for_bounds = "compression" in families
    inputs = read_inputs(
        options, with_layers=with_layers or for_bounds, for_bounds=for_bounds, progress=progress
    )
    settings: dict[str, Any] = {"m": inputs.m, "delta": options.delta}
    if inputs.layers:
        settings["r"] = options.r
    plans = {family: PLANNERS[family](inputs) for family in families}
    evidence = None
    if data is not None:
        samples = find_samples(inputs.checkpoint, data.data, options.m, progress)
        evidence = Evidence(inputs=inputs, samples=samples, data=data, delta=options.delta)
        plans |= {
            family: _joined(plans[family], make(evidence), data)
            for family, make in CERTIFICATES.items()
            if family in plans
        }
    for plan in plans.values():
        settings |= plan.settings
    bounds = [bound for plan in plans.values() for bound in plan.evaluate(options.delta)]
    if warn is not None and "pac_bayes" in plans:
        warning = noise_warning(bounds, inputs, evidence, options.delta)
        if warning is not None:
            warn(warning)
    return report_of(
        inputs,
        command=command,
        settings=settings,
        bounds=bounds,
        headline=_headline(plans, options.delta),
    )


def _joined(plan: Plan, certificate: Certificate, data: DataOptions) -> Plan:
    """A family with its certificate."""
    return replace(
        plan,
        settings={**plan.settings, "data": data.name, "seed": data.seed, "draws": data.draws},
        evaluate=lambda delta: [*plan.evaluate(delta), certificate.evaluate(delta)],
        preferred=certificate.theorem,
    )


def _headline(plans: Mapping[Family, Plan], delta: float) -> Headline | None:
    """The smallest of the families' preferred bounds, each evaluated at its share of delta.

    The Rademacher shells rest on an assumption that nothing can check and that is doubtful for
    thin shells: they never stand for a report.
    """
    plans = {family: plan for family, plan in plans.items() if family != "rademacher"}
    if not plans:
        return None
    share = equal_share(delta, len(plans))
    found = [
        bound
        for plan in plans.values()
        for bound in plan.evaluate(share)
        if bound.theorem == plan.preferred
    ]
    return best_of(found, share, [plan.preferred for plan in plans.values()])
