"""The steps of each optimizer, against those of torch."""

import math

import numpy as np
import pytest
import torch

from dlgen_cli.errors import UsageError
from dlgen_cli.implicit.optimizers import System, descend, steps_needed

STEPS, RATE = 20, 0.05


@pytest.fixture(scope="module")
def system() -> System:
    """Five equations in eight unknowns, with singular values 4, 3, 2, 2 and 1."""
    draws = np.random.default_rng(0)
    left, _ = np.linalg.qr(draws.normal(size=(5, 5)))
    right, _ = np.linalg.qr(draws.normal(size=(8, 5)))
    matrix = (left * np.array([4.0, 3.0, 2.0, 2.0, 1.0])) @ right.T
    right_side = matrix @ draws.normal(size=8)
    return System(matrix=matrix, right_side=right_side, largest=4.0, smallest=1.0)


def run(optimizer: str, system: System, steps: int = STEPS, rate: float | None = RATE):
    start = np.linspace(-1.0, 1.0, system.matrix.shape[1])
    return start, descend(
        optimizer,
        system,
        start,
        outside=lambda way: way,
        distance=1.0,
        learning_rate=rate,
        steps=steps,
        seed=0,
    )


def torchs(optimizer: str, system: System, start: np.ndarray) -> np.ndarray:
    weights = torch.tensor(start, requires_grad=True)
    matrix, right_side = torch.tensor(system.matrix), torch.tensor(system.right_side)
    large, small = 4.0, 1.0  # roots of the curvatures, but for the same factor
    inertia = ((large - small) / (large + small)) ** 2
    one = {
        "gd": lambda: torch.optim.SGD([weights], lr=RATE),
        "momentum": lambda: torch.optim.SGD([weights], lr=RATE, momentum=inertia),
        "adam": lambda: torch.optim.Adam([weights], lr=RATE),
    }[optimizer]()
    for step in range(1, STEPS + 1):
        if optimizer == "adam":
            one.param_groups[0]["lr"] = RATE * 1e-13 ** (step / STEPS)
        one.zero_grad()
        (0.5 * (matrix @ weights - right_side).square().mean()).backward()
        one.step()
    return weights.detach().numpy()


@pytest.mark.parametrize("optimizer", ["gd", "momentum", "adam"])
def test_the_steps_are_those_of_torch(optimizer: str, system: System):
    start, found = run(optimizer, system)
    assert (found.steps, found.learning_rate) == (STEPS, RATE)
    np.testing.assert_allclose(found.weights, torchs(optimizer, system, start), rtol=1e-9)


def test_a_step_of_sign_descent_moves_every_coordinate_by_the_rate(system: System):
    start, found = run("sign", system, steps=1)
    moved = found.weights - start
    np.testing.assert_allclose(moved, -RATE * np.sign(system.gradient(start)))


def test_a_step_of_sgd_without_a_rate_solves_one_equation(system: System):
    _, found = run("sgd", system, steps=1, rate=None)
    assert np.abs(system.residual(found.weights)).min() < 1e-14


def test_the_path_is_that_of_the_iterates(system: System):
    start, found = run("gd", system)
    assert (found.recorded[0], found.recorded[-1]) == (0, STEPS)
    assert found.norms[0] == np.linalg.norm(start)
    assert found.norms[-1] == np.linalg.norm(found.weights)
    assert found.travelled[0] == 0.0
    assert found.travelled[-1] == np.linalg.norm(found.weights - start)
    assert found.outside == found.travelled  # as the projection given keeps everything


def test_the_best_rates_reach_rounding_within_the_steps_that_theory_needs(system: System):
    for optimizer in ("gd", "momentum"):
        _, found = run(optimizer, system, steps=10_000, rate=None)
        assert system.is_solved(found.weights)
        assert found.steps <= 2 * steps_needed(optimizer, system)
    assert steps_needed("gd", system) == pytest.approx(8 * 52 * math.log(2))
    assert steps_needed("momentum", system) == pytest.approx(4 * 52 * math.log(2))
    assert steps_needed("sgd", system) == pytest.approx(2 * 34 * 52 * math.log(2))


def test_weights_that_run_away_are_one_clear_error(system: System):
    with pytest.raises(UsageError, match="diverged"):
        run("gd", system, steps=1000, rate=10.0)
