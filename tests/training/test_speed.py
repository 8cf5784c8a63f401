"""Images a second and seconds left, by a clock that the test winds."""

import time
from types import SimpleNamespace

import pytest

from dlgen_cli.training.speed import Speed


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now.seconds)
    return now


def a_trial():
    metrics = [{"loss": None, "running_error": None, "train_error": 0.9, "test_error": 0.8}]
    return SimpleNamespace(
        train=range(500), epoch=0, metrics=metrics, recipe=SimpleNamespace(epochs=4)
    )


def test_it_counts_training_and_not_evaluation(clock):
    trial, told = a_trial(), []
    speed = Speed(trial, told.append)
    with speed.epoch():
        clock.seconds += 2
        speed.tick(250)
        clock.seconds += 3
        speed.tick(500)  # the end of an epoch is told when it is evaluated
    clock.seconds += 5  # of evaluation
    trial.epoch = 1
    nothing = {"train_error": None, "test_error": None}
    trial.metrics.append({"loss": 0.5, "running_error": 0.4, **nothing})
    speed.show()
    within, after = told
    assert (within.epoch, within.share, within.loss) == (0, 0.5, None)
    assert within.images_per_second == pytest.approx(250 / 2)
    assert within.seconds_left == pytest.approx(2 / 0.5 * 3.5)
    assert (after.epoch, after.share, after.loss) == (1, 0.0, 0.5)
    assert after.images_per_second == pytest.approx(500 / 5)
    assert after.seconds_left == pytest.approx(10 * 3)
    assert (after.train_error, after.test_error) == (0.9, 0.8)  # of the last evaluation


def test_a_session_that_goes_on_counts_its_own_epochs(clock):
    trial = a_trial()
    trial.epoch = 3
    speed = Speed(trial, None)
    with speed.epoch():
        clock.seconds += 4
    trial.epoch = 4
    speed.show()
    assert speed.images_per_second == pytest.approx(500 / 4)


def test_before_the_first_step_nothing_is_estimated(clock):
    told = []
    Speed(a_trial(), told.append).show()
    assert clock.seconds == 100
    assert told[0].seconds_left is None
