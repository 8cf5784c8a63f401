"""Step size and length of a run."""

import pytest

from dlgen_cli.errors import UsageError
from dlgen_cli.implicit import plan, targets


def make(spectrum=(5.0, 3.0, 1.0), shape=(7, 5), seed=0):
    return targets.from_spectrum(spectrum, shape, seed)


def test_an_unstable_step_is_refused():
    with pytest.raises(UsageError, match="unstable"):
        plan.make_plan(make(), 2, 1e-3, step=1e3)


def test_an_endless_run_is_refused():
    with pytest.raises(UsageError, match="steps"):
        plan.make_plan(make(), 2, 1e-3, time=1e9)


def test_a_plan_keeps_to_the_time_and_step_asked_for():
    made = plan.make_plan(make(), 2, 1e-3, time=10.0, step=0.1)
    assert (made.step, made.steps) == (0.1, 100)
    assert made.recorded == tuple(range(101))
