"""Verdicts follow their rules, each number tried on both sides of its limit."""

from dataclasses import replace
from typing import Any

import pytest

from dlgen_cli.postulates import FinishedRun, Spread, judge, mean_curve, runs_by_regime
from dlgen_cli.records import Interval


def run(dataset: str, train_error: float, low: float, high: float, **given: Any) -> FinishedRun:
    return FinishedRun(
        dataset=dataset,
        seed=given.pop("seed", 0),
        train_error=train_error,
        test_error=(low + high) / 2,
        test_error_interval=Interval(lower=low, upper=high),
        **{
            "examples": 1000,
            "altered": 0,
            "parameters": 5000,
            "chance_error": 0.9,
            "epochs": 10,
            "curve": {},
            **given,
        },
    )


@pytest.fixture
def runs() -> list[FinishedRun]:
    return [
        run("standard", 0.0, 0.18, 0.22),
        run("random", 0.01, 0.88, 0.92),
        run("mixed-random", 0.0, 0.28, 0.32),
        run("mixed-adversarial", 0.0, 0.5, 0.55),
    ]


def held(runs: list[FinishedRun]) -> list[bool]:
    verdicts = judge(runs)
    assert [verdict.postulate for verdict in verdicts] == [1, 2, 3, 4]
    return [verdict.holds for verdict in verdicts]


def test_all_four_hold(runs: list[FinishedRun]):
    assert held(runs) == [True] * 4


@pytest.mark.parametrize("position", range(4))
def test_none_holds_without_fitting_its_examples(runs: list[FinishedRun], position: int):
    runs[position] = replace(runs[position], train_error=0.0101)
    assert held(runs) == [index != position for index in range(4)]


@pytest.mark.parametrize(
    ("position", "interval", "expected"),
    [
        (0, (0.4, 0.46), False),
        (0, (0.4, 0.45), True),
        (1, (0.7, 0.85), False),
        (1, (0.7, 0.86), True),
        (2, (0.6, 0.68), False),
        (2, (0.3, 0.67), False),  # it then overlaps the adversarial run's
    ],
)
def test_the_end_that_speaks_against_the_postulate_counts(
    runs: list[FinishedRun], position: int, interval: tuple[float, float], *, expected: bool
):
    low, high = interval
    runs[position] = replace(runs[position], test_error_interval=Interval(lower=low, upper=high))
    assert all(held(runs)) == expected


def test_as_many_parameters_as_examples_are_not_more(runs: list[FinishedRun]):
    runs[0] = replace(runs[0], parameters=1000)
    assert held(runs) == [False, True, True, True]


@pytest.mark.parametrize("position", [0, 2])
def test_overlapping_intervals_are_not_significant(runs: list[FinishedRun], position: int):
    runs[position] = replace(runs[position], test_error_interval=Interval(lower=0.2, upper=0.5001))
    assert not held(runs)[3]


def test_rule_and_evidence_carry_the_numbers(runs: list[FinishedRun]):
    verdicts = judge(runs)
    assert "0.5 of a guess's 0.9" in verdicts[0].rule
    assert "5,000 parameters, 1,000 examples" in verdicts[0].evidence
    assert "0.2000 (0.180 to 0.220)" in verdicts[3].evidence


def statuses(runs: list[FinishedRun]) -> list[str]:
    return [verdict.status for verdict in judge(runs)]


def test_a_run_that_has_not_fitted_its_examples_decides_nothing(runs: list[FinishedRun]):
    runs[1] = replace(runs[1], train_error=0.02)
    verdict = judge(runs)[1]
    assert (verdict.status, verdict.reason) == (
        "undecided",
        "random is not trained to a training error of 0.01",
    )


@pytest.mark.parametrize(
    ("position", "interval", "expected"),
    [
        (0, (0.449, 0.451), "undecided"),
        (0, (0.451, 0.46), "does not hold"),
        (1, (0.7, 0.85), "does not hold"),
        (2, (0.66, 0.68), "undecided"),
        (2, (0.68, 0.69), "does not hold"),
        (3, (0.25, 0.4), "undecided"),
        (3, (0.2, 0.28), "does not hold"),
    ],
)
def test_an_interval_over_the_limit_decides_nothing(
    runs: list[FinishedRun], position: int, interval: tuple[float, float], expected: str
):
    low, high = interval
    runs[position] = replace(runs[position], test_error_interval=Interval(lower=low, upper=high))
    assert statuses(runs)[position] == expected


def test_a_postulate_holds_where_it_holds_for_every_seed(runs: list[FinishedRun]):
    second = [replace(one, seed=1) for one in runs]
    assert statuses([*runs, *second]) == ["holds"] * 4
    second[0] = replace(second[0], train_error=0.5)
    second[1] = replace(second[1], test_error_interval=Interval(lower=0.1, upper=0.2))
    verdicts = judge([*runs, *second])
    assert [one.status for one in verdicts] == ["undecided", "does not hold", "holds", "holds"]
    assert verdicts[0].evidence == "undecided for seed 1; holds for seed 0"
    assert verdicts[2].evidence == "holds for seed 0, 1"


def test_the_mean_curve_keeps_the_last_error_of_a_run_that_stopped(runs: list[FinishedRun]):
    first = replace(
        runs[0], curve={"epochs": [0, 5], "train_error": [0.9, 0.1], "test_error": [0.9, 0.3]}
    )
    second = replace(
        runs[0],
        seed=1,
        curve={"epochs": [0, 5, 8], "train_error": [0.7, 0.3, 0.0], "test_error": [0.9, 0.5, 0.2]},
    )
    curve = mean_curve(runs_by_regime([first, second])["standard"])
    assert curve["epochs"] == [0, 5, 8]
    assert curve["train_error"] == pytest.approx([0.8, 0.2, 0.05])
    assert curve["train_error_lowest"] == [0.7, 0.1, 0.0]
    assert curve["test_error_highest"] == [0.9, 0.5, 0.3]
    assert mean_curve([first]) == first.curve


def test_the_mean_lies_within_the_range():
    spread = Spread.over([0.1, 0.4, 0.1])
    assert (spread.lowest, spread.highest) == (0.1, 0.4)
    assert spread.mean == pytest.approx(0.2)
