"""Every theorem, evaluated again from the terms of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dlgen_cli import bounds
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.records import Assumption, Bound
from dlgen_cli.verification.compression import (
    again_all_ranks,
    again_fixed_rank,
    again_layer_ranks,
    again_occam,
    again_stored,
)

_Lines = Sequence[Assumption]
#: From the terms, a failure probability and the ledger to the bound.
Theorem = Callable[[Fields, float, _Lines], Bound]


def _anchors(terms: Fields) -> list[bounds.Anchor]:
    return [
        bounds.Anchor(
            name=row.text("name"),
            squared_distance_upper=row.number("squared_distance_upper"),
            contributions=[
                (part.text("name"), part.number("squared_distance")) for part in row.rows("layers")
            ],
        )
        for row in terms.rows("anchors")
    ]


def _pac_bayes(theorem: Callable[..., Bound]) -> Theorem:
    def again(terms: Fields, delta: float, lines: _Lines) -> Bound:
        sigmas = [row.number("sigma") for row in terms.rows("sigmas")]
        return theorem(_anchors(terms), sigmas, terms.count("examples"), delta, lines)

    return again


def _pac_bayes_kl(terms: Fields, delta: float, lines: _Lines) -> Bound:
    samples = [
        bounds.GibbsSample(
            sigma=row.number("sigma"),
            draws=row.count("draws"),
            trials=row.count("trials"),
            errors=row.count("errors"),
        )
        for row in terms.rows("sigmas")
    ]
    return bounds.kl_risk(
        _anchors(terms),
        samples,
        terms.count("examples"),
        delta,
        terms.number("delta_monte_carlo"),
        lines,
    )


def _posterior(terms: Fields, delta: float, lines: _Lines) -> Bound:
    posteriors = [
        bounds.Posterior(
            name=row.text("name"),
            distance_nats_upper=row.number("distance_nats_upper"),
            spread_nats_upper=row.number("spread_nats_upper"),
            draws=row.count("draws"),
            trials=row.count("trials"),
            errors=row.count("errors"),
        )
        for row in terms.rows("posteriors")
    ]
    return bounds.posterior_risk(
        posteriors,
        terms.count("examples"),
        delta,
        terms.number("delta_monte_carlo"),
        choice_nats=terms.number("choice_nats"),
        assumptions=lines,
    )


def _rademacher(theorem: Callable[..., Bound]) -> Theorem:
    def again(terms: Fields, delta: float, lines: _Lines) -> Bound:
        box = bounds.Box(
            parameters=terms.count("parameters"),
            linf_norm=terms.number("linf_norm"),
            largest=terms.text("largest_parameter"),
            epsilon=terms.number("epsilon"),
            examples=terms.count("examples"),
            delta=delta,
        )
        return theorem(box, tuple(lines))

    return again


def _clopper_pearson(terms: Fields, delta: float, lines: _Lines) -> Bound:
    return bounds.clopper_pearson(terms.count("errors"), terms.count("examples"), delta, lines)


#: By identifier.
THEOREMS: Mapping[str, Theorem] = {
    "compression.fixed_rank": again_fixed_rank,
    "compression.all_ranks": again_all_ranks,
    "compression.layer_ranks": again_layer_ranks,
    "compression.stored": again_stored,
    "compression.occam": again_occam,
    "pac_bayes.anchors": _pac_bayes(bounds.anchors_union),
    "pac_bayes.mixture": _pac_bayes(bounds.mixture),
    "pac_bayes.pinsker": _pac_bayes(bounds.pinsker),
    "pac_bayes.kl": _pac_bayes_kl,
    "pac_bayes.posterior": _posterior,
    "rademacher.expected": _rademacher(bounds.expected),
    "rademacher.markov": _rademacher(bounds.markov),
    "rademacher.printed": _rademacher(bounds.printed),
    "holdout.clopper_pearson": _clopper_pearson,
}
