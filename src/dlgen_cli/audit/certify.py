"""Every certificate that applies to a checkpoint, side by side, the best one named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from dlgen_cli.audit.audit import PLANNERS
from dlgen_cli.audit.report import report_of
from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.bounds.refutation import refute
from dlgen_cli.bounds.theorem import Family
from dlgen_cli.bounds.verdict import verdict
from dlgen_cli.datasets import load_features
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.certificate import Evidence, Maker, write_files
from dlgen_cli.evidence.coded import coded_certificate, is_coded
from dlgen_cli.evidence.compression_change import change_certificate
from dlgen_cli.evidence.compression_occam import occam_certificate
from dlgen_cli.evidence.disagreement import disagreement_certificate
from dlgen_cli.evidence.holdout import holdout_certificate
from dlgen_cli.evidence.inputs import read_inputs
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.monte_carlo import DrawProgress, monte_carlo_share
from dlgen_cli.evidence.options import AuditOptions, DataOptions, refuse_options_of_a_prior
from dlgen_cli.evidence.pac_bayes_drawn import drawn_certificate
from dlgen_cli.evidence.pac_bayes_kl import kl_certificate
from dlgen_cli.evidence.pac_bayes_posterior import (
    posterior_certificate,
    refuse_options_of_a_posterior,
    require_options_of_a_posterior,
)
from dlgen_cli.evidence.plan import best_of, equal_share
from dlgen_cli.evidence.recorded_errors import counted_errors, recorded_errors
from dlgen_cli.evidence.samples import Samples, find_samples
from dlgen_cli.evidence.trained_posterior import holds_posterior
from dlgen_cli.records import Bound, Report


def certify(
    options: AuditOptions,
    data: DataOptions,
    *,
    command: str = "certify",
    families: Sequence[Family] = ("compression", "pac_bayes"),
    layer_progress: Progress,
    draw_progress: DrawProgress | None = None,
) -> Report:
    """Evaluate every certificate that applies.

    Those on the risk itself compete: the holdout, and whatever the checkpoint gives cause for.
    That is Occam's bound of the compressed network, and PAC-Bayes in kl form where there is an
    anchor; or the bound of the posterior that the run trained, with Occam's where it is asked
    for; or the bound of a coded run. Each takes an equal share of delta, so the best of them is
    a certificate too. Where labels of the sample were altered, only the holdout speaks of real
    ones: nothing is compared, each is at delta, and the holdout stands for the report. Beside
    Occam's bound stand those on the gap, each at delta.

    Args:
        options: checkpoint and the numbers of the bounds.
        data: the examples, the draws.
        command: name in the report.
        families: whose bounds on the gap stand beside the certificates; PAC-Bayes only where
            there is an anchor.
        layer_progress: called before each layer.
        draw_progress: called with the draws of weights that are done, and with all.

    Raises:
        DlgenError: bad input; one subclass for each kind.
    """
    if data.base is not None:
        options = replace(options, anchors=[data.base])
    makers = _makers(options, data)
    if data.surrogate is not None:
        makers = [*makers, disagreement_certificate]
    is_whole = occam_certificate in makers
    inputs = read_inputs(
        options, with_layers=is_whole, for_bounds=is_whole, progress=layer_progress
    )
    rows = load_features(data.features) if data.features else None
    samples = find_samples(inputs.checkpoint, rows or data.data, options.m, layer_progress)
    share = equal_share(options.delta, 1 if samples.altered else 1 + len(makers))
    if makers != [occam_certificate]:
        monte_carlo_share(data.delta_monte_carlo, share)  # refuse before any draw
    evidence = Evidence(
        inputs=inputs, samples=samples, data=data, delta=share, progress=draw_progress
    )
    candidates = [make(evidence) for make in makers]
    known = {part: errors for one in candidates for part, errors in one.errors.items()}
    holdout = holdout_certificate(evidence, known)
    certificates = [holdout, *candidates]
    recorded = recorded_errors(inputs.checkpoint)
    if inputs.checkpoint.config is None:
        recorded = counted_errors(samples, holdout.errors)
    bounds = [refute(one.evaluate(share), recorded) for one in certificates]
    competing = bounds[:1] if samples.altered else bounds
    headline = best_of(competing, share, [one.theorem for one in competing])
    plans = [
        PLANNERS[family](inputs)
        for family in families
        if (kl_certificate in makers if family == "pac_bayes" else is_whole)
    ]
    results = _results(samples, holdout.errors, bounds, best=headline.theorem if headline else None)
    for one, bound in zip(certificates, bounds, strict=True):
        results |= one.facts(bound)
    report = report_of(
        inputs,
        command=command,
        settings={
            "m": inputs.m,
            "delta": options.delta,
            **({"r": options.r} if is_whole else {}),
            **{name: value for plan in plans for name, value in plan.settings.items()},
            **({"features": [asdict(one) for one in rows.files]} if rows else {}),
            **_other_networks(data),
            **_settings(data, bounds, has_posterior=posterior_certificate in makers),
        },
        bounds=[*bounds, *(gap for plan in plans for gap in plan.evaluate(options.delta))],
        headline=headline,
        results=results,
        recorded=recorded,
    )
    write_files(certificates)
    return report


def _makers(options: AuditOptions, data: DataOptions) -> list[Maker]:
    """What competes with the holdout, fixed before any value is seen.

    Raises:
        UsageError: an option was given that the checkpoint leaves no choice in.
    """
    has_prior = is_coded(options.checkpoint) or holds_posterior(options)
    if data.base is not None and has_prior:
        raise UsageError(
            f"--base was given, but {options.checkpoint} holds a prior of its own.",
            remedy="Leave it out.",
        )
    if is_coded(options.checkpoint):
        refuse_options_of_a_prior(options, data)
        refuse_options_of_a_posterior(options, data)
        return [coded_certificate]
    if holds_posterior(options):
        refuse_options_of_a_prior(options, data)
        require_options_of_a_posterior(data)
        drawn = [drawn_certificate] if data.draw_network else []
        return [*([occam_certificate] if data.occam else []), posterior_certificate, *drawn]
    refuse_options_of_a_posterior(options, data)
    if data.base is not None:
        return [change_certificate, kl_certificate]
    return [occam_certificate, *([kl_certificate] if options.has_anchor else [])]


def _other_networks(data: DataOptions) -> dict[str, Any]:
    """The options that name a base or a surrogate, by names without folders."""
    found: dict[str, Any] = {"base": data.base.resolve().name} if data.base else {}
    if data.surrogate is not None:
        found["surrogate"] = data.surrogate.resolve().name
        found["unlabelled"] = [path.resolve().name for path in data.unlabelled]
    return found


def _settings(data: DataOptions, bounds: Sequence[Bound], *, has_posterior: bool) -> dict[str, Any]:
    """The options of a certificate in force, for the report."""
    cells = [bound.terms["cells"] for bound in bounds if "cells" in bound.terms]
    own: dict[str, Any] = {
        "shrink": list(data.shrink),
        "tried": data.tried,
        "tried_nats": data.tried_nats,
    }
    if data.draw_network:
        own["draw_network"] = data.draw_network.name
    if not has_posterior:
        own = {"freeze": list(data.freeze), "relative_sigma": data.relative}
    return {
        "data": data.name,
        **({"draws": None, "cells": cells[0]} if cells else {"draws": data.draws}),
        "delta_monte_carlo": None if cells else data.delta_monte_carlo,
        **own,
        "seed": data.seed,
    }


def _results(
    samples: Samples, errors: Mapping[str, int], bounds: Sequence[Bound], *, best: str | None
) -> dict[str, Any]:
    """The certificates side by side, with the errors of the network itself."""
    return {
        "data": samples.source,
        "sample_examples": len(samples.bound),
        "sample_error": errors["sample"] / len(samples.bound),
        "test_examples": len(samples.test),
        "test_error": errors["test"] / len(samples.test),
        "holdout_origin": samples.holdout_origin,
        "repeated_images": samples.repeated_images,
        "certificates": [
            {
                "theorem": bound.theorem,
                "risk_upper": bound.value,
                "status": bound.status,
                "empirical_risk": bound.terms.get("empirical_risk"),
                "examples": bound.terms.get("examples"),
                **population,
            }
            for bound, population in zip(bounds, _populations(samples, bounds), strict=True)
        ],
        "best": best,
        "verdict": verdict(
            {bound.theorem: bound.value for bound in bounds if bound.status != "refuted"},
            altered=samples.altered > 0,
        ),
    }


def _populations(samples: Samples, bounds: Sequence[Bound]) -> list[dict[str, str]]:
    """Which labels each certificate speaks of; nothing where all speak of the real ones."""
    if not samples.altered:
        return [{}] * len(bounds)
    is_real = [bound.theorem == CLOPPER_PEARSON.name for bound in bounds]
    return [{"labels": "real" if one else "altered"} for one in is_real]
