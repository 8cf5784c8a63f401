"""What a run records of its examples is what they are."""

import pytest
import torch

from dlgen_cli.training.examples import prepare_examples
from dlgen_cli.training.facts import data_facts, example_labels
from dlgen_cli.training.recipe import make_recipe


@pytest.fixture(scope="module")
def prepared():
    recipe = make_recipe(
        {"source": "digits", "dataset": "mixed-adversarial", "m": 60, "holdout": 20, "seed": 3}
    )
    return recipe, prepare_examples(recipe, None)


def test_counts_are_those_of_the_examples(prepared):
    recipe, examples = prepared
    facts = data_facts(recipe, examples, parameters=17)
    assert facts["counts"] == {
        "examples": 60,
        "altered": 30,
        "holdout": 20,
        "test": len(examples.test.labels),
        "classes": 10,
        "parameters": 17,
    }
    assert (facts["adversary"], facts["seed"]) == ("shift", 3)
    assert facts["input"]["shape"] == [1, 8, 8]
    largest = (examples.train.images.float() / 255 * examples.scale).flatten(1).norm(dim=1).max()
    assert float(largest) <= facts["input"]["norm_bound"] * (1 + 1e-6)


def test_labels_lead_back_to_the_images(prepared):
    _, examples = prepared
    kept = example_labels(examples, None)
    assert "anchor_hashes" not in kept
    assert torch.equal(kept["labels"], examples.train.labels)
    assert int(kept["altered"].sum()) == 30
    assert len(kept["indices"]) == len(kept["image_hashes"]) == 60
    assert len(kept["holdout_indices"]) == len(kept["holdout_hashes"]) == 20
    assert len({bytes(row) for row in kept["image_hashes"].numpy()}) == 60
    assert not set(kept["indices"].tolist()) & set(kept["holdout_indices"].tolist())
