"""A head that minimises its own bound: better than the prior, and a Gaussian that can be stored."""

import pytest
import torch

from dlgen_cli.datasets import Split
from dlgen_cli.predictors.coded.network import Description, build_network
from dlgen_cli.training.coded.general import Task
from dlgen_cli.training.coded.head import train_head
from dlgen_cli.training.coded.settings import CodedSettings
from dlgen_cli.training.examples import DeviceExamples
from dlgen_cli.training.recipe import make_recipe


@pytest.fixture(scope="module")
def trained():
    """Stripes of two directions, told apart by a kernel machine of 12 landmarks."""
    source = torch.Generator().manual_seed(2)
    labels = torch.arange(200) % 2
    stripes = (torch.arange(8) % 2).float().expand(8, 8)
    drawn = torch.stack([stripes, stripes.T])[labels, None] * 0.6
    images = drawn + torch.rand(200, 3, 8, 8, generator=source) * 0.3
    about = Description(
        architecture="filter_kernel",
        width=2,
        depth=None,
        classes=2,
        input_shape=(3, 8, 8),
        seed=1,
        dim=24,
    )
    network, told = build_network(about), []
    task = Task(
        recipe=make_recipe(
            {"source": "digits", "epochs": 8, "batch_size": 50, "learning_rate": 0.1}
        ),
        settings=CodedSettings(),
        network=network,
        train=DeviceExamples(stored=Split(images=images, labels=labels), scale=1.0),
        tick=lambda *one: told.append(one),
    )
    return task, *train_head(task), told


def test_the_bound_falls_and_the_mean_learns(trained):
    _, _, error, told = trained
    objectives = [one for _, one in told]
    assert [epoch for epoch, _ in told] == list(range(1, 9))
    assert objectives[-1] < objectives[0]
    assert error <= 0.3  # by chance a half


def test_the_error_is_that_of_the_network_at_the_mean(trained):
    task, posterior, error, _ = trained
    images, labels = task.train.batch(slice(None))
    logits = task.network.logits(posterior.mean * posterior.scale, images)
    assert float((logits.argmax(1) != labels).float().mean()) == pytest.approx(error)


def test_the_factor_is_a_root_of_a_covariance_that_is_no_wider_than_the_prior(trained):
    _, posterior, _, _ = trained
    factor = posterior.factor
    assert torch.equal(factor, factor.tril())
    assert bool((factor.diagonal() > 0).all())
    eigenvalues = torch.linalg.eigvalsh((factor @ factor.T).double())
    assert float(eigenvalues.max()) <= 1 + 1e-3
    assert posterior.spread_nats(0) > 0


def test_landmarks_are_training_images(trained):
    task, posterior, _, _ = trained
    images = {one.numpy().tobytes() for one in task.train.batch(slice(None))[0]}
    found = {one.numpy().tobytes() for one in posterior.landmarks}
    assert found <= images
    assert len(found) == 12
