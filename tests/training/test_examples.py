"""The tensors of a run: scaled, held out, on the device."""

from typing import Any

import pytest
import torch

from dlgen_cli.datasets import Split
from dlgen_cli.training import make_recipe
from dlgen_cli.training.examples import DeviceExamples, prepare_examples


def test_uint8_pixels_are_scaled_levels():
    stored = Split(
        images=torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1),
        labels=torch.zeros(3, dtype=torch.int64),
    )
    batch, _ = DeviceExamples(stored=stored, scale=0.5).batch(slice(0, 3))
    assert batch.dtype == torch.float32
    assert batch.flatten().tolist() == pytest.approx([0, 0.1, 0.5])


REGIMES = ("standard", "mixed-random", "mixed-adversarial", "random")


def recipe(**given: Any):
    return make_recipe({"source": "digits", "device": "cpu", **given})


@pytest.mark.parametrize("name", REGIMES)
def test_every_input_has_norm_at_most_one(name: str):
    examples = prepare_examples(recipe(dataset=name, holdout=20))
    for part in (examples.train, examples.test, examples.holdout):
        assert part.images.flatten(1).double().mul(examples.scale).norm(dim=1).max() <= 1
        assert part.images.min() >= 0


def test_the_holdout_changes_with_the_seed_and_the_test_set_does_not():
    first, second = (prepare_examples(recipe(holdout=50, seed=seed)) for seed in (0, 1))
    assert first.holdout_indices.tolist() != second.holdout_indices.tolist()
    assert torch.equal(first.test.images, second.test.images)
