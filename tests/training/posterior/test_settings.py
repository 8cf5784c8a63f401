"""Settings of a posterior's training: defaults, the anchor's own, and what is refused."""

import json
from pathlib import Path

import pytest

from dlgen_cli.errors import UsageError
from dlgen_cli.training.posterior.settings import make_posterior_recipe, posterior_settings


def a_recipe(given=None, own=None):
    return make_posterior_recipe(
        {"source": "digits", **(given or {})},
        anchor=Path("somewhere/anchor.safetensors"),
        architecture="mlp",
        arguments={"width": 16, "depth": 2, "classes": 10},
        own=own or {},
    )


def test_the_anchor_fixes_the_network_and_the_objective_its_defaults():
    recipe = a_recipe({"seed": 7, "epochs": None}, {"spread": None})
    assert (recipe.examples.architecture, recipe.examples.width, recipe.examples.depth) == (
        "mlp", 16, 2
    )  # fmt: skip
    assert (recipe.examples.epochs, recipe.examples.batch_size, recipe.examples.seed) == (6, 250, 7)
    assert (recipe.spread, recipe.trainable) == ("auto", None)


def test_the_settings_on_record_are_json_and_hold_no_path():
    kept = json.loads(json.dumps(posterior_settings(a_recipe(own={"trainable": ("*",)}))))
    assert kept["objective"] == "pac-bayes"
    assert kept["anchor"] == "anchor.safetensors"
    assert kept["trainable"] == ["*"]
    assert "optimizer" not in kept
    assert kept["batch_size"] == 250


@pytest.mark.parametrize(
    ("given", "own", "message"),
    [
        ({"optimizer": "sgd"}, {}, "--optimizer was given with --objective pac-bayes"),
        ({"image_size": 64}, {}, "--image-size was given"),
        ({"architecture": "mlp"}, {}, "--arch was given"),
        ({"epochs": 0}, {}, "--epochs is 0"),
        ({"dataset": "random"}, {}, "random images"),
        ({}, {"spread": "wide"}, "--spread 'wide' is unknown"),
    ],
)
def test_what_does_not_fit_is_refused(given, own, message):
    with pytest.raises(UsageError, match=message):
        a_recipe(given, own)
