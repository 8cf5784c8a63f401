"""Whether sigma is so large that the random predictor is mostly noise, and which one would do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlgen_cli.bounds.pac_bayes import PINSKER
from dlgen_cli.bounds.pac_bayes_kl import KL
from dlgen_cli.evidence.certificate import Evidence
from dlgen_cli.evidence.hypothesis import hypothesis
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.pac_bayes import plan_pac_bayes
from dlgen_cli.evidence.pac_bayes_kl import kl_certificate
from dlgen_cli.records import Bound
from dlgen_cli.spectra import sum_of_squares

#: What is looked through, fixed before any sample: the union over all of them is paid.
_POWERS = tuple(2.0**exponent for exponent in range(-16, 4))
_DRAWS = 1000


def noise_warning(
    bounds: Sequence[Bound], inputs: Inputs, evidence: Evidence | None, delta: float
) -> str | None:
    """Say where Q = N(theta, sigma^2 I) hardly remembers theta.

    Without data that is where sigma is at least the root mean square of the weights; with data,
    where Q errs at least half as often on the sample as guessing does. A small bound on its gap
    says little there.

    Args:
        bounds: of the report.
        inputs: checkpoint and network.
        evidence: with the sample; None without data.
        delta: failure probability.

    Returns:
        Sentences with the power of two that minimizes the bound, the union over all of
        them paid; None where Q is not noise, or no such bound applies.
    """
    theorem = PINSKER.name if evidence is None else KL.name
    bound = next((one for one in bounds if one.theorem == theorem), None)
    if bound is None or bound.status == "not_applicable":
        return None
    sigma = bound.terms["sigma"]
    if evidence is not None:
        return _by_risk(bound.terms, sigma, evidence, delta)
    scale = _root_mean_square(inputs)
    if sigma < scale:
        return None
    found = f"sigma = {sigma:g} is at least the root mean square of the weights, {scale:.4g}"
    return f"{found}: Q is mostly noise. {_of_weights(inputs, scale, delta)}"


def _root_mean_square(inputs: Inputs) -> float:
    weights = hypothesis(inputs, inputs.read.tensors)
    parts = [(one.numel(), sum_of_squares(one).upper) for one in map(weights.__getitem__, weights)]
    count = sum(entries for entries, _ in parts)
    return math.sqrt(math.fsum(squares for _, squares in parts) / max(count, 1))


def _of_weights(inputs: Inputs, scale: float, delta: float) -> str:
    plan = plan_pac_bayes(_at_powers(inputs))
    bound = next(one for one in plan.evaluate(delta) if one.theorem == PINSKER.name)
    rows = [row for row in bound.terms["sigmas"] if row["sigma"] < scale]
    best = min(rows, key=lambda row: row["log10_value"], default=None)
    if best is None:
        return "No power of two that was looked at is below it."
    return _named(f"Of those below it, sigma = {best['sigma']:g}", PINSKER.name, best)


def _by_risk(
    terms: Mapping[str, Any], sigma: float, evidence: Evidence, delta: float
) -> str | None:
    classes = int(evidence.samples.bound.labels.max()) + 1
    guessing, risk = 1 - 1 / classes, terms["empirical_risk"]
    if risk < guessing / 2:
        return None
    bound = kl_certificate(
        replace(
            evidence,
            inputs=_at_powers(evidence.inputs),
            data=replace(evidence.data, draws=_DRAWS, state=None),
        )
    ).evaluate(delta)
    found = (
        f"Q at sigma = {sigma:g} errs on {risk:.4g} of the sample, and guessing errs on "
        f"{guessing:.4g}: Q is mostly noise."
    )
    if bound.status == "not_applicable":
        return found
    named = _named(f"sigma = {bound.terms['sigma']:g}", KL.name, {"value": bound.value})
    if bound.terms["empirical_risk"] >= guessing / 2:
        named += " It is mostly noise there too: around these anchors no such sigma says more."
    return f"{found} {named}"


def _at_powers(inputs: Inputs) -> Inputs:
    return replace(inputs, options=replace(inputs.options, sigma=_POWERS))


def _named(which: str, theorem: str, best: Mapping[str, Any]) -> str:
    value = "too large for a float" if best["value"] is None else f"{best['value']:.4g}"
    return (
        f"{which} minimizes {theorem} among the {len(_POWERS)} powers of two from {_POWERS[0]:g} "
        f"to {_POWERS[-1]:g}: about {value}, the union over all of them paid."
    )
