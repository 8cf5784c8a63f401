"""Shares on record become counts, rounded to the side that refutes less."""

from types import SimpleNamespace

import pytest
import torch

from dlgen_cli.datasets import Split
from dlgen_cli.evidence.recorded_errors import counted_errors, recorded_errors


def a_checkpoint(*, is_trained=True, **changed):
    config = {
        "dataset": "standard",
        "examples": 1437,
        "counts": {"test": 360, "classes": 10, "altered": 0},
        "train_error": 12 / 1437,
        "test_error": 30 / 360,
    }
    return SimpleNamespace(config=config | changed, is_trained=is_trained)


@pytest.mark.parametrize("errors", [0, 1, 12, 700, 1437])
def test_a_share_of_a_count_is_the_count_again(errors):
    found = recorded_errors(a_checkpoint(train_error=errors / 1437, test_error=30 / 360))
    assert (found.training_errors, found.test_errors) == (errors, 30)
    assert (found.examples, found.test_examples, found.classes) == (1437, 360, 10)


def test_other_shares_are_rounded_to_the_side_that_refutes_less():
    found = recorded_errors(a_checkpoint(train_error=12.5 / 1437, test_error=30.5 / 360))
    assert (found.training_errors, found.test_errors) == (13, 30)


@pytest.mark.parametrize(
    "changed",
    [{"dataset": "other"}, {"train_error": 1.5}, {"test_error": -0.1}, {"examples": 0}],
)
def test_what_is_no_record_refutes_nothing(changed):
    assert recorded_errors(a_checkpoint(**changed)) is None


def test_tensors_of_no_finished_run_have_no_record():
    assert recorded_errors(a_checkpoint(is_trained=False)) is None
    assert recorded_errors(SimpleNamespace(config=None, is_trained=True)) is None


def test_errors_on_declared_data_are_taken_as_counted():
    test = Split(images=torch.zeros(3, 1, 2, 2), labels=torch.tensor([0, 3, 1]))
    samples = SimpleNamespace(bound=range(50), test=test)
    found = counted_errors(samples, {"sample": 4, "test": 1})
    assert (found.examples, found.training_errors) == (50, 4)
    assert (found.test_examples, found.test_errors, found.classes) == (3, 1, 4)
