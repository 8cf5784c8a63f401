"""Steps on a device that is not the CPU: nothing strays to the host, and nothing waits for it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dlgen_cli.datasets import Split
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import (
    Draws,
    GaussianWeights,
    count_errors,
    fold_network,
    gibbs_errors,
    monte_carlo_state,
)
from dlgen_cli.training.computation import Computation
from dlgen_cli.training.examples import DeviceExamples
from dlgen_cli.training.loop import EpochSettings, error_rate, make_optimizer, train_epoch
from dlgen_cli.training.posterior.loop import fit
from dlgen_cli.training.posterior.settings import make_posterior_recipe
from dlgen_cli.training.posterior.trained_part import TrainedPart, choose_trainable
from tests.support.other_device import DEVICE, Generator, HostCopies

THERE = Computation(device=DEVICE)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 5),
    )


@pytest.fixture
def examples():
    stored = Split(
        images=torch.empty(64, 3, 8, 8, dtype=torch.uint8, device=DEVICE),
        labels=torch.zeros(64, dtype=torch.int64, device=DEVICE),
    )
    return DeviceExamples(stored=stored, scale=0.5, memory_format=torch.channels_last)


@pytest.fixture
def folded():
    module = convolutional().eval().requires_grad_(requires_grad=False)
    return fold_network(module, trace(module, (3, 8, 8)), module.state_dict()).to(DEVICE)


def test_the_watch_finds_what_strays_and_what_waits():
    there, here = torch.empty(3, device=DEVICE), torch.zeros(3)
    with HostCopies() as copies:
        with pytest.raises(RuntimeError, match="device"):
            there + here
        assert there.sum().item() == 1.0
        assert there.cpu().device.type == "cpu"
        assert [float(one) for one in there] == [1.0] * 3
    assert copies.count == 5


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [32, 8])
def test_an_epoch_waits_for_the_device_once_however_many_steps_it_has(
    examples, optimizer, batch_size
):
    network = convolutional().to(DEVICE)
    steps = make_optimizer(network, optimizer, 0.01)
    settings = EpochSettings(
        seed=0, epoch=1, batch_size=batch_size, learning_rate=0.01, linear_decay=True, clip_linf=0.5
    )
    with HostCopies() as copies:
        train_epoch(network, steps, examples, settings, THERE)
    assert copies.count == 1


def test_an_evaluation_waits_for_the_device_once(examples):
    with HostCopies() as copies:
        error_rate(convolutional().to(DEVICE), examples, THERE)
    assert copies.count == 1


@pytest.mark.parametrize("spread", ["tensor", "entry"])
@pytest.mark.parametrize("patterns", [None, ["*"]])
def test_a_step_of_a_posterior_waits_for_the_device_twice(folded, examples, spread, patterns):
    counts = []
    for batch_size in (32, 8):
        trainable = choose_trainable(folded.network, patterns)
        part = TrainedPart(
            folded, trainable, dict.fromkeys(folded.parameters, 0.5), spread, torch.Generator()
        )
        recipe = make_posterior_recipe(
            {"epochs": 1, "batch_size": batch_size},
            anchor=Path("anchor"),
            architecture="mobilenet_v2",
            arguments={},
            own={"spread": spread},
        )
        with HostCopies() as copies:
            images, labels = examples.batch(slice(None))
            features = part.features(iter([images]), len(labels))
            part.set_bases(features, 64)
            list(fit(part, features, labels, recipe))
        counts.append(copies.count)
    more_steps = 64 // 8 - 64 // 32
    assert counts[1] - counts[0] <= 2 * more_steps  # to see whether variances are equal, and kl^-1


def test_draws_of_a_certificate_keep_to_the_device(folded, monkeypatch):
    monkeypatch.setattr(
        monte_carlo_state,
        "_generator",
        lambda _seed, _purpose, device: Generator() if device == DEVICE else torch.Generator(),
    )
    images, labels = torch.rand(40, 3, 8, 8), torch.zeros(40, dtype=torch.int64)
    predictors = [GaussianWeights(mean={}, deviations=dict.fromkeys(folded.parameters, 0.1))]
    with HostCopies() as copies:
        sample = Split(images=images, labels=labels)
        gibbs_errors(folded, predictors, sample, Draws(count=40, batch=20, seed=0))
    # One for each batch of draws, and of the mean's errors, and the answers to one example.
    assert copies.count == 2 + 2 + 1
    with HostCopies() as copies:
        count_errors(folded, images, labels, batch=20, device=DEVICE)
    # The count, and a look at the logits, for each batch, and the answers to one example.
    assert copies.count <= 2 * 2 + 1
