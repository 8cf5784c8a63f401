"""Verdicts follow their rules, each number tried on both sides of its limit."""

from dataclasses import replace
from typing import Any

import pytest

from dlgen_cli.postulates import FinishedRun, judge
from dlgen_cli.records import Interval


def run(dataset: str, train_error: float, low: float, high: float, **given: Any) -> FinishedRun:
    return FinishedRun(
        dataset=dataset,
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
