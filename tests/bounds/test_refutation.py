"""The errors on record refute a bound only where they must, whatever the regime."""

import dataclasses
import random

import pytest
import scipy.stats

from dlgen_cli import bounds
from dlgen_cli.bounds.assumptions import assumed, declared
from dlgen_cli.bounds.refutation import refute
from dlgen_cli.records import RecordedErrors

STANDARD = RecordedErrors(
    dataset="standard",
    classes=10,
    examples=1000,
    altered=0,
    training_errors=80,
    test_examples=400,
    test_errors=376,
)


def of(dataset: str, **changes: int) -> RecordedErrors:
    return dataclasses.replace(STANDARD, dataset=dataset, **changes)


def shell():
    box = bounds.Box(
        parameters=100, linf_norm=0.5, largest="w", epsilon=1e-9, examples=1000, delta=0.05
    )
    return bounds.expected(box)


def occam(errors: int):
    lines = [declared("The sample is independent.", "As given.")]
    return bounds.occam(1.0, errors, 1000, 0.05, assumptions=lines)


def test_a_shell_is_conditional_at_best_and_refuted_by_the_runs_own_errors():
    assert shell().value < 0.05
    assert shell().status == "conditional"
    assert refute(shell(), None).status == "conditional"
    found = refute(shell(), of("random", altered=1000))
    assert found.status == "refuted"
    gap = {"quantity": "gap", "at_least": pytest.approx(0.9 - 0.08), "confidence": 0.999}
    assert found.terms["refuted_by"] == gap
    good = dataclasses.replace(STANDARD, test_errors=35)
    assert refute(shell(), good).status == "conditional"


def test_an_assumed_line_makes_a_bound_conditional_and_a_declared_one_does_not():
    assert occam(0).status == "holds"
    lines = [assumed("The sample is independent.", "Nobody knows.")]
    assert bounds.occam(1.0, 0, 1000, 0.05, assumptions=lines).status == "conditional"


def test_the_real_risk_is_that_of_the_clopper_pearson_limit():
    exact = scipy.stats.beta.ppf(0.0005, 376, 400 - 376 + 1)
    found = refute(bounds.clopper_pearson(0, 400, 0.05), STANDARD).terms["refuted_by"]
    assert found["quantity"] == "risk"
    assert found["at_least"] <= exact
    assert found["at_least"] == pytest.approx(exact, rel=1e-9)
    agreeing = bounds.clopper_pearson(376, 400, 0.05)
    assert refute(agreeing, STANDARD).status == agreeing.status


@pytest.mark.parametrize(
    ("recorded", "least"),
    [
        (of("standard"), 0.0),
        (of("random", altered=1000), 0.9),
        (of("mixed-random", altered=500), 0.45),
        (of("mixed-adversarial", altered=500), 0.5),
        (of("mixed-adversarial", altered=300), 0.3),
        (of("mixed-adversarial", altered=700), 0.3),
    ],
)
def test_no_predictor_is_better_than_its_population_allows(recorded: RecordedErrors, least: float):
    for errors in (0, 100, 250, 420, 480, 600):
        bound = occam(errors)
        found = refute(bound, recorded)
        assert found.status == ("refuted" if bound.value < least else bound.status)
        if found.status == "refuted":
            assert found.terms["refuted_by"]["at_least"] == pytest.approx(least)
            assert found.terms["refuted_by"]["at_least"] <= least


@pytest.mark.parametrize("dataset", ["random", "mixed-random", "mixed-adversarial"])
@pytest.mark.parametrize("altered", [100, 500])
def test_the_least_risk_is_that_of_a_simulated_population(dataset: str, altered: int):
    """A predictor that knows the real labels but for one in five, on a population of its own."""
    draw, classes, count = random.Random(0), 4, 40_000
    recorded = of(dataset, classes=classes, altered=1000 if dataset == "random" else altered)
    recorded = dataclasses.replace(recorded, training_errors=0, test_errors=80)
    share, wrong, real_wrong = recorded.altered / 1000, 0, 0
    for _ in range(count):
        label = draw.randrange(classes)
        guess = label if draw.random() > 0.2 else (label + 1) % classes
        real_wrong += guess != label
        if draw.random() < share:
            is_shift = dataset == "mixed-adversarial"
            label = (label + 1) % classes if is_shift else draw.randrange(classes)
        wrong += guess != label
    found = refute(shell(), recorded)
    assert real_wrong / count == pytest.approx(0.2, abs=0.01)
    assert found.status == "refuted"
    assert found.terms["refuted_by"]["at_least"] <= wrong / count + 0.01


def test_a_gap_of_which_one_side_is_not_on_record_is_never_refuted():
    anchor = bounds.Anchor(name="a", squared_distance_upper=1e-6)
    for bound in (
        bounds.pinsker([anchor], [1.0], 10**6, 0.05),
        bounds.mixture([anchor], [1.0], 10**6, 0.05),
    ):
        assert refute(bound, of("random", altered=1000)) == bound
