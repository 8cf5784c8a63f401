"""PAC-Bayes bounds against closed forms and published values."""

import json
import math
from decimal import Decimal
from pathlib import Path

import mpmath
import pytest
from exact import close_above

from dlgen_cli.bounds import Anchor, anchors_union, mixture, pinsker
from dlgen_cli.bounds.gaussian_kl import to_uniform_mixture
from dlgen_cli.bounds.maurer import moment_upper, pinsker_gap, source_moment
from dlgen_cli.bounds.pac_bayes import theorem_31_1_gap
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS

CASES = json.loads((Path(__file__).parents[1] / "check_cases.json").read_text())
ANCHORS = [
    Anchor(name="near", squared_distance_upper=2.0, contributions=[("a", 0.5), ("b", 1.5)]),
    Anchor(name="far", squared_distance_upper=9.0, contributions=[("a", 9.0), ("b", 0.0)]),
]


@pytest.mark.parametrize("case", CASES["gap_forms"])
def test_published_gaps(case):
    kl, m, delta = Decimal(case["kl"]), case["m"], Decimal(str(case["delta"]))
    empirical = Decimal(str(case["empirical"]))
    assert float(empirical + pinsker_gap(source_moment)(kl, m, delta)) == pytest.approx(
        case["pinsker_risk"], rel=1e-8
    )
    assert float(empirical + theorem_31_1_gap(kl, m, delta)) == pytest.approx(
        case["ssbd_31_1_risk"], rel=1e-8
    )


@pytest.mark.parametrize("case", CASES["anchor_mixture"])
def test_published_mixture(case):
    divergences = [Decimal(value) for value in case["kl"]]
    found = to_uniform_mixture(divergences)
    assert float(found) == pytest.approx(case["exact"], rel=1e-9)
    assert found >= Decimal(str(case["exact"])) - Decimal("1e-10")
    assert float(min(divergences)) + math.log(len(divergences)) == pytest.approx(case["union"])


@pytest.mark.parametrize("sigmas", [[0.1], [0.01, 0.1, 1.0]])
@pytest.mark.parametrize("m", [8, 1437, 50_000])
def test_values_equal_the_formulas(sigmas, m):
    delta, count = mpmath.mpf(0.05), len(sigmas)
    union, mixed, pinskers = [], [], []
    for sigma in sigmas:
        kl = [mpmath.mpf(a.squared_distance_upper) / (2 * mpmath.mpf(sigma) ** 2) for a in ANCHORS]
        of_mixture = -mpmath.log(sum(mpmath.exp(-one) for one in kl) / 2)
        union.append(mpmath.sqrt((min(kl) + mpmath.log(2 * m * 2 * count / delta)) / (2 * (m - 1))))
        mixed.append(mpmath.sqrt((of_mixture + mpmath.log(m * count / delta)) / (2 * (m - 1))))
        logarithm = mpmath.log(mpmath.mpf(str(moment_upper(m))) * count / delta)
        pinskers.append(mpmath.sqrt((of_mixture + logarithm) / (2 * m)))
    close_above(anchors_union(ANCHORS, sigmas, m, 0.05).value, min(union))
    close_above(mixture(ANCHORS, sigmas, m, 0.05).value, min(mixed))
    close_above(pinsker(ANCHORS, sigmas, m, 0.05).value, min(pinskers))


@pytest.mark.parametrize("m", [8, 100, 50_000])
@pytest.mark.parametrize("sigma", [1e-12, 0.01, 1.0, 1e6])
def test_each_form_is_at_most_the_one_before(m, sigma):
    values = [
        theorem(ANCHORS, [sigma], m, 0.05).log10_value
        for theorem in (anchors_union, mixture, pinsker)
    ]
    assert values == sorted(values, reverse=True)


def test_terms_tell_anchors_and_layers_apart():
    terms = anchors_union(ANCHORS, [0.5], 1000, 0.05).terms
    near, far = terms["anchors"]
    assert (near["name"], far["name"]) == ("near", "far")
    assert near["distance"] == pytest.approx(math.sqrt(2.0))
    assert near["kl_nats"] == pytest.approx(2.0 / (2 * 0.25))
    assert near["value"] < far["value"]
    assert [part["share"] for part in near["layers"]] == [0.25, 0.75]
    assert terms["kl_nats"] == near["kl_nats"]


def test_divergence_beyond_the_floats_keeps_its_logarithm():
    bound = anchors_union([Anchor(name="x", squared_distance_upper=1e300)], [1e-30], 1000, 0.05)
    assert bound.terms["kl_nats"] is None
    assert bound.terms["log10_kl_nats"] == pytest.approx(360 - math.log10(2), rel=1e-12)
    assert bound.status == "vacuous"


def test_an_anchor_equal_to_the_checkpoint_withholds_the_value():
    bound = pinsker([Anchor(name="same", squared_distance_upper=0.0)], [0.1], 1000, 0.05)
    assert (bound.status, bound.value) == ("not_applicable", None)
    assert any("same" in line.evidence for line in bound.assumptions if line.status == "violated")


@pytest.mark.parametrize(
    ("theorem", "form", "term"),
    [
        (mixture, {"sides": 2}, "sides"),
        (pinsker, {"moment": source_moment}, "moment_upper"),
    ],
)
def test_a_report_that_does_not_tell_its_form_is_read_back_in_the_wider_one(theorem, form, term):
    wide, sharp = theorem(ANCHORS, [0.5], 1000, 0.05, **form), theorem(ANCHORS, [0.5], 1000, 0.05)
    assert sharp.value < wide.value
    assert term in sharp.terms
    assert term not in wide.terms
    for bound in (wide, sharp):
        read = THEOREMS[bound.theorem].recompute(Fields(bound.terms), 0.05, bound.assumptions)
        assert read == bound


def test_below_eight_examples_the_moment_is_proven_too():
    assert pinsker(ANCHORS, [1.0], 2, 0.05).status == "vacuous"
