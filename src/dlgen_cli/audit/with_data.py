"""The certificate that labelled examples add to a family of theorems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dlgen_cli.evidence import compression_occam as occam
from dlgen_cli.evidence import pac_bayes_kl as gibbs
from dlgen_cli.evidence.options import DataOptions
from dlgen_cli.evidence.plan import Family, Inputs, Plan
from dlgen_cli.evidence.samples import find_samples
from dlgen_cli.records import Bound


def with_data(
    plans: Mapping[Family, Plan], inputs: Inputs, data: DataOptions
) -> dict[Family, Plan]:
    """Add `compression.occam` and `pac_bayes.kl` to their families; they stand for them then.

    Raises:
        UsageError: m is smaller than the sample, or the network cannot be evaluated.
        DataError: the data are missing, damaged, or not those of the run.
    """
    samples = find_samples(inputs.checkpoint, data.data, inputs.options.m)
    found = dict(plans)
    if "compression" in plans:
        code = occam.prepare_occam(inputs, samples, inputs.options.delta)
        found["compression"] = _joined(plans["compression"], occam.THEOREM, code.evaluate, data)
    if "pac_bayes" in plans:
        gibbs.monte_carlo_share(data.delta_monte_carlo, inputs.options.delta)  # before any draw
        draws = gibbs.prepare_gibbs(inputs, samples, data)
        found["pac_bayes"] = _joined(plans["pac_bayes"], gibbs.THEOREM, draws.evaluate, data)
    return found


def _joined(
    plan: Plan, theorem: str, certificate: Callable[[float], Bound], data: DataOptions
) -> Plan:
    return replace(
        plan,
        settings={**plan.settings, "data": data.data, "seed": data.seed, "draws": data.draws},
        evaluate=lambda delta: [*plan.evaluate(delta), certificate(delta)],
        preferred=theorem,
    )
