"""Settings: defaults, ranges, and what may change when a run goes on."""

import json
from typing import Any

import pytest

from dlgen_cli.errors import UsageError
from dlgen_cli.training import Recipe, continue_recipe, make_recipe, recipe_to_dict

DIGITS = {"source": "digits"}


def test_digits_default_to_the_mlp():
    recipe = make_recipe(DIGITS)
    assert (recipe.architecture, recipe.width, recipe.depth) == ("mlp", 64, 3)
    assert recipe.until_train_error == 0
    assert recipe.dataset == "standard"


def test_the_learning_rate_follows_the_optimizer():
    assert make_recipe(DIGITS).learning_rate == 0.003
    assert make_recipe(DIGITS | {"optimizer": "sgd"}).learning_rate == 0.1
    assert make_recipe(DIGITS | {"optimizer": "sgd", "learning_rate": 0.5}).learning_rate == 0.5


def test_none_means_not_given():
    assert make_recipe(DIGITS | {"epochs": None, "seed": None}) == make_recipe(DIGITS)


def test_a_negative_train_error_switches_the_rule_off():
    assert make_recipe(DIGITS | {"until_train_error": -1}).until_train_error is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "photographs"}, "neither a known source nor a directory"),
        ({"architecture": "mobilenet_v9"}, "mobilenet_v9.*unknown.*mobilenet_v2"),
        ({"architecture": "net.py:Net"}, "takes its own architectures.*dlgen audit CKPT --arch"),
        ({"width": 64}, "--width was given with --arch mobilenet_v2; it belongs to mlp"),
        ({"source": "digits", "stem": "small"}, "--stem was given with --arch mlp"),
        ({"stem": "tiny"}, "--stem.*imagenet, medium, small"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(given: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message) as caught:
        make_recipe(given)
    assert "\n" not in str(caught.value)


def test_what_was_not_given_follows_the_network():
    recipe = make_recipe({})
    assert (recipe.source, recipe.architecture, recipe.stem) == ("cifar10", "mobilenet_v2", "small")
    assert (recipe.width, recipe.depth) == (None, None)
    assert (recipe.epochs, recipe.learning_rate) == (100, 0.001)
    assert make_recipe({"optimizer": "sgd"}).learning_rate == 0.1
    assert make_recipe({"architecture": "resnet18"}).stem is None


def test_a_falling_step_size_fixes_the_number_of_epochs():
    saved = make_recipe(DIGITS | {"schedule": "linear", "epochs": 10})
    assert continue_recipe(saved, {"epochs": 10}) == saved
    with pytest.raises(UsageError, match="fall to 0 at epoch 10; --epochs is 20"):
        continue_recipe(saved, {"epochs": 20})


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("dataset", "mixed", "--dataset.*standard, random, mixed-random, mixed-adversarial"),
        ("optimizer", "lamb", "--optimizer.*adam, sgd"),
        ("adversary", "worst", "--adversary.*shift, uniform"),
        ("device", "tpu", "--device.*auto, cpu, cuda, mps"),
        ("epochs", -1, "--epochs is -1"),
        ("batch_size", 0, "--batch-size is 0"),
        ("holdout", -5, "--holdout is -5"),
        ("width", 0, "--width is 0"),
        ("depth", 0, "--depth is 0"),
        ("learning_rate", 0.0, "--lr is 0"),
        ("learning_rate", float("nan"), "--lr is nan"),
        ("learning_rate", float("inf"), "--lr is inf"),
        ("clip_linf", 0.0, "--clip-linf is 0"),
        ("until_train_error", 1.5, "--until-train-error is 1.5"),
        ("momentum", 0.9, "Unknown settings: momentum"),
        ("m", 0, "--m is 0"),
        ("evaluate_every", 0, "--evaluate-every is 0"),
        ("threads", 0, "--threads is 0"),
        ("precision", "float16", "--precision.*auto, float32, bfloat16"),
        ("schedule", "cosine", "--schedule.*constant, linear"),
    ],
)
def test_settings_out_of_range_name_the_option(setting: str, value: object, message: str):
    with pytest.raises(UsageError, match=message):
        make_recipe(DIGITS | {setting: value})


def test_a_recipe_survives_json():
    recipe = make_recipe(DIGITS | {"clip_linf": 0.5, "until_train_error": -1})
    assert Recipe(**json.loads(json.dumps(recipe_to_dict(recipe)))) == recipe


def test_going_on_takes_the_saved_settings():
    saved = make_recipe(DIGITS | {"dataset": "random", "seed": 4})
    assert continue_recipe(saved, {}) == saved
    assert continue_recipe(saved, {"dataset": "random"}) == saved
    longer = continue_recipe(saved, {"epochs": 9000, "until_train_error": -1})
    assert (longer.epochs, longer.until_train_error, longer.seed) == (9000, None, 4)


def test_going_on_refuses_other_settings():
    saved = make_recipe(DIGITS | {"dataset": "random"})
    with pytest.raises(UsageError, match="started with --dataset random, not standard"):
        continue_recipe(saved, {"dataset": "standard"})
