"""Every certificate that applies to a checkpoint, side by side, the best one named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlgen_cli.audit.audit import PLANNERS
from dlgen_cli.audit.certificate_results import certificate_results, data_settings
from dlgen_cli.audit.coded import certify_coded, find_coded
from dlgen_cli.audit.report import report_of
from dlgen_cli.bounds.verdict import HOLDOUT
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.compression_occam import THEOREM as OCCAM
from dlgen_cli.evidence.compression_occam import prepare_occam
from dlgen_cli.evidence.holdout import holdout_evaluator, network_errors
from dlgen_cli.evidence.inputs import gather
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.options import AuditOptions, DataOptions
from dlgen_cli.evidence.pac_bayes import anchor_paths
from dlgen_cli.evidence.pac_bayes_kl import THEOREM as GIBBS
from dlgen_cli.evidence.pac_bayes_kl import DrawProgress, monte_carlo_share, prepare_gibbs
from dlgen_cli.evidence.pac_bayes_posterior import THEOREM as POSTERIOR
from dlgen_cli.evidence.pac_bayes_posterior import (
    posterior_directory,
    prepare_posterior,
    require_options,
)
from dlgen_cli.evidence.plan import Family, best_of, equal_share
from dlgen_cli.evidence.samples import find_samples
from dlgen_cli.records import Bound, Report

_Evaluate = Callable[[float], Bound]


def certify(
    options: AuditOptions,
    data: DataOptions,
    *,
    command: str = "certify",
    families: Sequence[Family] = ("compression", "pac_bayes"),
    measured: Progress,
    drawn: DrawProgress | None = None,
) -> Report:
    """Evaluate every certificate that applies.

    Those on the risk itself compete: the holdout, Occam's bound of the compressed network, and
    PAC-Bayes in kl form where there is an anchor. Each takes an equal share of delta, so the
    best of them is a certificate too. Bounds on the gap stand beside them, each at delta.

    Where the run trained a posterior, its own bound takes the place of that around anchors;
    Occam's bound and those on the gap are left out unless they are asked for.

    Args:
        options: checkpoint and the numbers of the bounds.
        data: the examples, the draws.
        command: name in the report.
        families: whose bounds on the gap stand beside the certificates; PAC-Bayes only where
            there is an anchor.
        measured: called before each layer.
        drawn: told how many draws of weights are done.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    coded = find_coded(options.checkpoint)
    if coded is not None:
        return certify_coded(coded, options, data, command=command, measured=measured, drawn=drawn)
    directory = posterior_directory(options)
    require_options(options, data, directory)
    is_whole = directory is None or data.occam
    inputs = gather(options, with_layers=is_whole, for_bounds=is_whole, progress=measured)
    samples = find_samples(inputs.checkpoint, data.data, options.m)
    gibbs = POSTERIOR if directory is not None else GIBBS if _has_anchor(options) else None
    theorems = [HOLDOUT, *([OCCAM] if is_whole else []), *([gibbs] if gibbs else [])]
    share = equal_share(options.delta, len(theorems))
    if gibbs is not None:
        monte_carlo_share(data.delta_monte_carlo, share)  # refuse before any draw
    evaluators: dict[str, _Evaluate] = {}
    if is_whole:
        evaluators[OCCAM] = prepare_occam(inputs, samples, share).evaluate
    posterior = None
    if directory is not None:
        posterior = prepare_posterior(inputs, samples, data, directory, drawn)
        evaluators[POSTERIOR] = posterior.evaluate
    elif gibbs is not None:
        evaluators[GIBBS] = prepare_gibbs(inputs, samples, data, drawn).evaluate
    errors = network_errors(inputs, samples, posterior)
    evaluators[HOLDOUT] = holdout_evaluator(samples, errors["holdout"])
    certificates = [evaluators[theorem](share) for theorem in theorems]
    plans = [
        PLANNERS[family](inputs)
        for family in (families if is_whole else ())
        if family != "pac_bayes" or gibbs == GIBBS
    ]
    gaps = [bound for plan in plans for bound in plan.evaluate(options.delta)]
    settings = {
        "m": inputs.m,
        "delta": options.delta,
        **({"r": options.r} if is_whole else {}),
        **{name: value for plan in plans for name, value in plan.settings.items()},
        **data_settings(data, has_posterior=posterior is not None),
    }
    headline = best_of(certificates, share, theorems)
    results = certificate_results(samples, errors, certificates, headline)
    if posterior is not None:
        results["coordinates"] = posterior.coordinates(certificates[-1].terms["name"])
    return report_of(
        inputs,
        command=command,
        settings=settings,
        bounds=[*certificates, *gaps],
        headline=headline,
        results=results,
    )


def _has_anchor(options: AuditOptions) -> bool:
    try:
        anchor_paths(options)
    except UsageError:
        return False
    return True
