"""A run of draws that was kept goes on, and no other goes on from it."""

import io

import pytest
import torch

from dlgen_cli.errors import UsageError
from dlgen_cli.predictors.deviations import Factor
from dlgen_cli.predictors.monte_carlo_state import resume, start

CPU = torch.device("cpu")
FACTS = {
    "means": [{"w": torch.ones(2, 2)}],
    "deviations": [{"w": 0.5}],
    "images": torch.zeros(3, 1, 2, 2, dtype=torch.uint8),
    "labels": torch.tensor([0, 1, 2]),
    "scale": 0.5,
    "batch": 10,
}


def a_run(seed=1, count=100, **changed):
    run = start(1, count, seed, CPU)
    run.identify(**(FACTS | changed))
    return run


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_it_goes_on_with_the_same_draws():
    run = a_run()
    run.done, run.errors = 40, [7]
    torch.randn(5, generator=run.noise)
    state = through_a_file(run.saved())
    expected = torch.randn(5, generator=run.noise)
    other = a_run()
    resume(other, state)
    assert (other.done, other.errors) == (40, [7])
    assert torch.equal(torch.randn(5, generator=other.noise), expected)
    assert torch.equal(
        torch.randint(0, 9, (5,), generator=other.choice),
        torch.randint(0, 9, (5,), generator=run.choice),
    )


def test_examples_and_weights_are_drawn_from_streams_of_their_own():
    run = a_run()
    assert not torch.equal(run.choice.get_state(), run.noise.get_state())
    assert not torch.equal(run.noise.get_state(), a_run(seed=2).noise.get_state())


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 2},
        {"count": 101},
        {"scale": 0.25},
        {"batch": 11},
        {"labels": torch.tensor([0, 1, 1])},
        {"images": torch.ones(3, 1, 2, 2, dtype=torch.uint8)},
        {"means": [{"w": torch.ones(2, 2) * 1.5}]},
        {"deviations": [{"w": 0.25}]},
        {"deviations": [{"w": torch.full((2, 2), 0.5)}]},
        {"deviations": [{"w": Factor(torch.eye(2) / 2)}]},
    ],
)
def test_another_run_does_not_go_on_from_it(changed):
    with pytest.raises(UsageError, match="other settings"):
        resume(a_run(**changed), a_run().saved())


@pytest.mark.parametrize(
    "damage",
    [{"done": 101}, {"done": -1}, {"errors": []}, {"errors": [[1, 2]]}, {"noise": None}],
)
def test_damage_is_refused(damage):
    with pytest.raises(UsageError, match="damaged"):
        resume(a_run(), a_run().saved() | damage)
