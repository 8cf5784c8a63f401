"""A run in memory: set up, kept, restored, and refused where it does not fit."""

import io

import pytest
import torch

from dlgen_cli.errors import CheckpointError, DataError, UsageError
from dlgen_cli.training.computation import Computation
from dlgen_cli.training.recipe import make_recipe
from dlgen_cli.training.trial import restore_trial, saved_recipe, start_trial, trial_state

HERE = Computation(device=torch.device("cpu"))


def a_recipe(**given):
    small = {"source": "digits", "m": 20, "depth": 2, "epochs": 5}
    return make_recipe({**small, "device": "cpu", **given})


@pytest.fixture
def trial():
    return start_trial(a_recipe(), HERE)


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_it_is_restored_as_it_was_kept(trial):
    with torch.no_grad():
        for parameter in trial.network.parameters():
            parameter.add_(1)
    trial.epoch = 3
    state = through_a_file(trial_state(trial))
    assert saved_recipe(state) == trial.recipe
    other = restore_trial(state, saved_recipe(state), HERE)
    assert (other.epoch, other.metrics) == (3, trial.metrics)
    for name, tensor in trial.network.state_dict().items():
        assert torch.equal(other.network.state_dict()[name], tensor)
        assert not torch.equal(other.init[name], tensor)


def test_errors_are_recorded_where_they_are_due(trial):
    assert trial.metrics[0]["loss"] is None
    wrong = (trial.network(trial.train.batch(slice(0, 20))[0]).argmax(1)
             != trial.train.stored.labels)  # fmt: skip
    assert trial.metrics[0]["train_error"] == int(wrong.sum()) / 20
    sparse = start_trial(a_recipe(evaluate_every=2), HERE)
    for sparse.epoch in range(1, 6):
        sparse.record(None)
    due = [one["epoch"] for one in sparse.metrics if one["train_error"] is not None]
    assert due == [0, 2, 4, 5]


def test_it_tells_how_many_examples_are_evaluated(monkeypatch):
    monkeypatch.setattr("dlgen_cli.training.loop.EVALUATION_BATCH", 100)
    calls = []
    trial = start_trial(a_recipe(), HERE, work=lambda *call: calls.append(call))
    total = 20 + len(trial.test)
    done = [20, *range(120, total, 100), total]
    assert calls == [("evaluating", one, total) for one in done]


def test_it_ends_at_its_epochs_or_at_its_error(trial):
    assert not trial.is_finished()
    trial.epoch = 5
    assert trial.is_finished()
    trial.epoch = 1
    trial.metrics.append({"train_error": 0.0})
    assert trial.is_finished()
    trial.metrics.append({"train_error": None})
    assert not trial.is_finished()


def test_other_examples_and_other_networks_are_refused(trial):
    state = trial_state(trial)
    with pytest.raises(DataError, match="differ from those"):
        restore_trial(state, a_recipe(seed=1), HERE)
    with pytest.raises(CheckpointError, match="does not fit the network"):
        restore_trial(state, a_recipe(width=65), HERE)
    with pytest.raises(CheckpointError, match="lacks model"):
        saved_recipe({name: one for name, one in state.items() if name != "model"})
    with pytest.raises(CheckpointError, match="settings that this version does not know"):
        saved_recipe(state | {"recipe": '{"colour": "red"}'})


def test_a_network_that_does_not_take_the_images_is_refused():
    with pytest.raises(UsageError, match="does not take images of 1 x 8 x 8"):
        start_trial(a_recipe(architecture="resnet18", depth=None), HERE)
