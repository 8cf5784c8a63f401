"""Monte Carlo of the Gibbs predictor: seeds, resuming, several sigmas, closed forms."""

import itertools
import math

import pytest
import torch
from torch import nn

from dlgen_cli import predictors
from dlgen_cli.datasets import Split
from dlgen_cli.errors import UsageError
from dlgen_cli.predictors import (
    Draws,
    Factor,
    GaussianWeights,
    count_errors,
    replace_parameters,
    standard_deviations,
)


def gibbs_errors(network, deviations, images, labels, *, means=None, scale=1.0, **draws):
    means = [{}] * len(deviations) if means is None else means
    weights = [
        GaussianWeights(mean=mean, deviations=one)
        for mean, one in zip(means, deviations, strict=True)
    ]
    sample = Split(images=images, labels=labels)
    return predictors.gibbs_errors(network, weights, sample, Draws(**draws), scale=scale)


@pytest.fixture
def network(tools):
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(inplace=True),
        nn.Conv2d(4, 4, 3, groups=4, stride=2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    return tools.folded(tools.fill(module), (2, 6, 6))


@pytest.fixture
def sample(tools):
    return tools.sample(40, (2, 6, 6), 3)


@pytest.mark.parametrize("is_right", [False, True])
def test_trials_without_noise_make_the_errors_of_the_network(network, sample, is_right):
    images, _ = sample
    answers = network(images).argmax(1)
    labels = answers if is_right else (answers + 1) % 3
    still = dict.fromkeys(network.parameters, 0.0)
    found = gibbs_errors(network, [still], images, labels, count=100, seed=0)
    assert found.errors == (0 if is_right else 100,)


def test_trials_take_every_example_equally_often(tools):
    network = tools.folded(tools.fill(nn.Sequential(nn.Linear(4, 2, bias=False))), (4,))
    network = replace_parameters(network, {"0.weight": torch.eye(2, 4)})
    images, labels = torch.eye(2, 4)[[0, 0, 0, 1]], torch.zeros(4, dtype=torch.int64)
    still = dict.fromkeys(network.parameters, 0.0)
    found = gibbs_errors(network, [still], images, labels, count=10_000, seed=1)
    assert abs(found.errors[0] - 2500) < 5 * math.sqrt(10_000 * 3 / 16)


def test_a_linear_classifier_has_its_closed_form(tools):
    # logits differ by N(2 mu |x|, 2 sigma^2 |x|^2): the risk is Phi(-sqrt(2) mu / sigma)
    network = tools.folded(tools.fill(nn.Sequential(nn.Linear(3, 2, bias=False))), (3,))
    images = torch.tensor([[0.0, 2.0, 0.0]])
    network = replace_parameters(
        network, {"0.weight": torch.tensor([[0.0, 0.5, 0.0], [0.0, -0.5, 0.0]])}
    )
    deviations = standard_deviations(network, 0.7)
    found = gibbs_errors(network, [deviations], images, torch.tensor([0]), count=4000, seed=2)
    risk = 0.5 * math.erfc(0.5 / 0.7)
    assert abs(found.errors[0] / 4000 - risk) < 5 * math.sqrt(risk * (1 - risk) / 4000)


def rates_of_whole_draws(network, deviations, sample, count):
    """Error rates of networks with explicitly drawn weights, each on the whole sample."""
    source = torch.Generator().manual_seed(4)
    rates = []
    for _ in range(count):
        drawn = {}
        for name, mean in network.parameters.items():
            noise = torch.randn(mean.shape, generator=source)
            deviation = deviations[name]
            if isinstance(deviation, Factor):
                rows = noise.reshape(len(mean), -1)
                drawn[name] = mean + (rows @ deviation.matrix.T).reshape(mean.shape)
            else:
                drawn[name] = mean + deviation * noise
        moved = replace_parameters(network, drawn)
        rates.append(count_errors(moved, *sample, batch=40, device=network.device) / 40)
    return torch.tensor(rates)


def require_the_risk_of_whole_draws(network, deviations, sample):
    """Both estimate one number, within 5 standard errors."""
    one = gibbs_errors(network, [deviations], *sample, count=6000, seed=3).errors[0] / 6000
    rates = rates_of_whole_draws(network, deviations, sample, 300)
    error = math.sqrt(one * (1 - one) / 6000 + float(rates.var()) / 300)
    assert 0.05 < one < 0.95
    assert abs(one - float(rates.mean())) < 5 * error


def test_the_risk_is_that_of_whole_draws(network, sample):
    require_the_risk_of_whole_draws(network, standard_deviations(network, 0.3), sample)


def test_the_seed_decides_the_counts(network, sample):
    def run(seed):
        return gibbs_errors(
            network,
            [standard_deviations(network, 0.3)],
            *sample,
            count=60,
            seed=seed,
            batch=16,
        )

    assert run(5) == run(5)
    assert len({tuple(run(seed).errors) for seed in range(6)}) > 1


def test_several_sigmas_in_one_pass_are_each_its_own_run(network, sample):
    several = [standard_deviations(network, sigma) for sigma in (0.05, 0.2, 0.8)]
    settings = {"count": 50, "seed": 6, "batch": 16}
    together = gibbs_errors(network, several, *sample, **settings)
    alone = [gibbs_errors(network, [one], *sample, **settings) for one in several]
    assert together.errors == tuple(one.errors[0] for one in alone)
    assert len(set(together.errors)) == 3


def test_a_resumed_run_is_the_uninterrupted_one(network, sample, tmp_path):
    several = [standard_deviations(network, sigma) for sigma in (0.2, 0.5)]
    settings = {"count": 50, "seed": 7, "batch": 16}
    whole = gibbs_errors(network, several, *sample, **settings)
    seen = []

    class Interrupted(Exception):  # noqa: N818
        pass

    def interrupt(state):
        torch.save(state, tmp_path / "state.pt")
        if len(seen) == 1:
            raise Interrupted

    def progress(done, total):
        seen.append((done, total))

    with pytest.raises(Interrupted):
        gibbs_errors(network, several, *sample, **settings, save=interrupt, progress=progress)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 0 < state["done"] < 50
    resumed = gibbs_errors(network, several, *sample, **settings, state=state, progress=progress)
    assert resumed == whole
    assert seen[-1] == (50, 50)
    assert all(one < two for one, two in itertools.pairwise(seen))
    for change in ({"seed": 8}, {"count": 51}, {"batch": 8}, {"scale": 0.5}):
        with pytest.raises(UsageError, match="other settings"):
            gibbs_errors(network, several, *sample, **{**settings, **change}, state=state)
    for change in ({"done": -3}, {"done": 51}, {"errors": [[0]]}):
        with pytest.raises(UsageError, match="damaged"):
            gibbs_errors(network, several, *sample, **settings, state={**state, **change})
    with pytest.raises(UsageError, match="damaged"):
        gibbs_errors(network, several, *sample, **settings, state={**state, "noise": None})


def test_nan_counts_as_an_error(network, sample):
    images, labels = sample
    lost = torch.full_like(images, float("nan"))
    deviations = [standard_deviations(network, 0.1)]
    found = gibbs_errors(network, deviations, lost, labels, count=20, seed=0)
    assert found.errors == (20,)


def test_frozen_parameters_stay(tools):
    network = tools.folded(tools.fill(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))), (4,))
    images, _ = tools.sample(30, (4,), 3)
    frozen = ["0.weight", "0.bias", "1.weight", "1.bias"]
    deviations = standard_deviations(network, 5.0, frozen=frozen)
    labels = network(images).argmax(1)
    assert gibbs_errors(network, [deviations], images, labels, count=99, seed=0).errors == (0,)
    deviations = standard_deviations(network, 5.0, frozen=frozen[1:])
    assert gibbs_errors(network, [deviations], images, labels, count=99, seed=0).errors[0] > 0


def test_deviations_are_those_of_float32(network):
    scales = dict.fromkeys(network.parameters, 0.3)
    found = standard_deviations(network, 0.1, relative_to=scales)
    assert set(found.values()) == {float(torch.tensor(0.1 * 0.3, dtype=torch.float32))}
    for sigma in (-1.0, float("nan"), 1e60, 1e-60):
        with pytest.raises(UsageError, match=r"standard deviation of 0\.weight"):
            standard_deviations(network, sigma)


def test_settings_without_sense_are_refused(network, sample):
    deviations = standard_deviations(network, 0.1)
    with pytest.raises(UsageError, match="0 draws"):
        gibbs_errors(network, [deviations], *sample, count=0, seed=0)
    with pytest.raises(UsageError, match="for 0 distributions"):
        gibbs_errors(network, [], *sample, count=1, seed=0)
    with pytest.raises(UsageError, match="Every parameter"):
        gibbs_errors(network, [{}], *sample, count=1, seed=0)


def learned(network, still=()):
    """Deviations of every form: by entry, by row, and of all alike."""
    source = torch.Generator().manual_seed(8)
    found = {}
    for index, (name, mean) in enumerate(network.parameters.items()):
        width = mean[0].numel()
        found[name] = (
            0.3,
            0.6 * torch.rand(mean.shape, generator=source),
            Factor(
                0.1 * torch.randn(width, width, generator=source).tril() + 0.3 * torch.eye(width)
            ),
        )[(index + 1) % 3]
        if name in still:
            found[name] = 0.0
    return found


@pytest.mark.parametrize("still", [[], ["0.weight", "0.bias"]])
def test_the_risk_is_that_of_whole_draws_of_learned_deviations(network, sample, still):
    require_the_risk_of_whole_draws(network, learned(network, still), sample)


@pytest.mark.parametrize("moving", ["0.weight", "3.weight", "5.bias"])
def test_predictors_around_several_means_are_each_their_own_run(network, sample, moving):
    names = list(network.parameters)
    still = names[: names.index(moving)]
    means = [{moving: (1 + 0.5 * step) * network.parameters[moving]} for step in range(3)]
    deviations = learned(network, still)
    settings = {"count": 50, "seed": 6, "batch": 16}
    together = gibbs_errors(network, [deviations] * 3, *sample, means=means, **settings)
    alone = [
        gibbs_errors(replace_parameters(network, mean), [deviations], *sample, **settings)
        for mean in means
    ]
    assert together.errors == tuple(one.errors[0] for one in alone)


def test_what_is_before_the_first_moving_layer_is_computed_once(network, sample, monkeypatch):
    from dlgen_cli.predictors import folded_network

    calls = []
    plain = folded_network.apply_map

    def counted(layer, *arguments):
        calls.append(layer.module)
        return plain(layer, *arguments)

    monkeypatch.setattr("dlgen_cli.predictors.sampling.apply_map", counted)
    monkeypatch.setattr(folded_network, "apply_map", counted)
    monkeypatch.setattr("dlgen_cli.predictors.gibbs.require_separate", lambda *_, **__: None)
    deviations = learned(network, ["0.weight", "0.bias", "3.weight", "3.bias"])
    gibbs_errors(network, [deviations] * 4, *sample, count=30, seed=0, batch=10)
    assert calls.count("0") == calls.count("3") == 3


def test_saved_draws_know_their_deviations_and_means(network, sample):
    states = []
    deviations = learned(network)
    settings = {"count": 20, "seed": 1}
    gibbs_errors(network, [deviations], *sample, save=states.append, **settings)
    again = gibbs_errors(network, [deviations], *sample, state=states[-1], **settings)
    assert again.errors[0] == states[-1]["errors"][0][0]
    entries = next(name for name, one in deviations.items() if isinstance(one, torch.Tensor))
    rows = next(name for name, one in deviations.items() if isinstance(one, Factor))
    for other in (
        {entries: deviations[entries] * 1.5},
        {rows: Factor(deviations[rows].matrix * 1.5)},
        {rows: 0.3},
    ):
        with pytest.raises(UsageError, match="other settings"):
            gibbs_errors(network, [deviations | other], *sample, state=states[-1], **settings)
    with pytest.raises(UsageError, match="other settings"):
        gibbs_errors(
            network,
            [deviations],
            *sample,
            means=[{"5.bias": torch.ones(3)}],
            state=states[-1],
            **settings,
        )
