"""Every certificate that applies to a checkpoint, side by side, the best one named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlgen_cli import bounds
from dlgen_cli.audit import PLANNERS, report_of
from dlgen_cli.audit.gathering import gather
from dlgen_cli.audit.gibbs import THEOREM as GIBBS
from dlgen_cli.audit.gibbs import DrawProgress, monte_carlo_share, prepare_gibbs
from dlgen_cli.audit.measuring import Progress
from dlgen_cli.audit.occam import THEOREM as OCCAM
from dlgen_cli.audit.occam import prepare_occam
from dlgen_cli.audit.options import AuditOptions, DataOptions
from dlgen_cli.audit.pac_bayes import anchor_paths
from dlgen_cli.audit.plan import Family, Inputs, best_of, equal_share
from dlgen_cli.audit.posterior import THEOREM as POSTERIOR
from dlgen_cli.audit.posterior import (
    PosteriorCertificate,
    posterior_directory,
    prepare_posterior,
    require_options,
)
from dlgen_cli.audit.samples import Samples, find_samples
from dlgen_cli.bounds.verdict import HOLDOUT, verdict
from dlgen_cli.errors import UsageError
from dlgen_cli.records import Bound, Headline, Report

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
    from dlgen_cli.audit.coded import certify_coded, find_coded

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
    errors = _errors(inputs, samples, posterior)
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


def data_settings(data: DataOptions, *, has_posterior: bool = False) -> dict[str, Any]:
    """The options of a certificate in force, for the report."""
    own: dict[str, Any] = {"shrink": list(data.shrink), "tried": data.tried}
    if not has_posterior:
        own = {"freeze": list(data.freeze), "relative_sigma": data.relative}
    return {
        "data": data.data,
        "draws": data.draws,
        "delta_monte_carlo": data.delta_monte_carlo,
        **own,
        "seed": data.seed,
    }


def _errors(
    inputs: Inputs, samples: Samples, posterior: PosteriorCertificate | None
) -> dict[str, int]:
    """Errors of the network itself on each part of the data; none is counted twice."""
    from dlgen_cli.devices import resolve_device
    from dlgen_cli.risk import count_errors, open_folded

    network = open_folded(inputs.checkpoint, inputs.read)
    network = network.to(resolve_device(inputs.options.device))
    parts = {"sample": samples.bound, "test": samples.test}
    if samples.holdout is not samples.test:
        parts |= {"holdout": samples.holdout} if samples.holdout is not None else {}
    known: dict[str, int] = {}
    counted = posterior.mean_errors if posterior is not None else None
    if posterior is not None and counted is not None and posterior.examples == len(samples.bound):
        del parts["sample"]
        known["sample"] = counted
    found = known | {
        name: count_errors(
            network,
            part.images,
            part.labels,
            batch=network.batch_size(own_weights=False),
            device=network.device,
            scale=samples.scale,
        )
        for name, part in parts.items()
    }
    if samples.holdout is samples.test:
        found["holdout"] = found["test"]
    return found


def holdout_evaluator(samples: Samples, errors: int) -> Callable[[float], Bound]:
    """The certificate of the holdout at any delta."""
    count = len(samples.holdout) if samples.holdout is not None else 0
    return lambda delta: bounds.clopper_pearson(errors, count, delta, samples.holdout_lines)


def certificate_results(
    samples: Samples,
    errors: Mapping[str, int],
    certificates: Sequence[Bound],
    headline: Headline | None,
) -> dict[str, Any]:
    """The certificates side by side, with the errors of the network itself."""
    return {
        "data": samples.source,
        "sample_examples": len(samples.bound),
        "sample_error": errors["sample"] / len(samples.bound),
        "test_examples": len(samples.test),
        "test_error": errors["test"] / len(samples.test),
        "holdout_origin": samples.holdout_origin,
        "certificates": [
            {
                "theorem": bound.theorem,
                "risk_upper": bound.value,
                "status": bound.status,
                "empirical_risk": bound.terms.get("empirical_risk"),
                "examples": bound.terms.get("examples"),
            }
            for bound in certificates
        ],
        "best": headline.theorem if headline else None,
        "verdict": verdict({bound.theorem: bound.value for bound in certificates}),
    }
