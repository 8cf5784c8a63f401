"""The settings of coded runs: defaults, ranges, and recipes that no code can name."""

import math
from typing import Any

import pytest

from dlgen_cli.errors import UsageError
from dlgen_cli.training import make_recipe
from dlgen_cli.training.coded.settings import CodedSettings, make_coded_recipe, require_codable


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"predictor": "x"}, "--predictor 'x'"),
        ({"dim": 0}, "--dim is 0"),
        ({"step": 0.0}, "--step is 0"),
        ({"step": math.nan}, "--step is nan"),
        ({"step": 2.0**21}, "--step is 2097152"),
    ],
)
def test_a_setting_out_of_range_names_its_option(given: dict[str, Any], says: str):
    with pytest.raises(UsageError, match=says):
        CodedSettings(**given)


def test_defaults_follow_the_architecture_and_what_is_given_stays():
    plain = make_coded_recipe({"architecture": "mlp", "epochs": None})
    bank = make_coded_recipe({"architecture": "filter_bank", "epochs": 7})
    assert (plain["epochs"], plain["learning_rate"]) == (100, 0.01)
    assert (bank["epochs"], bank["learning_rate"], bank["batch_size"]) == (7, 0.05, 1000)
    assert plain["until_train_error"] == bank["until_train_error"] == -1  # never stops early


@pytest.mark.parametrize(
    ("given", "predictor", "says"),
    [
        ({"architecture": "resnet18"}, "gaussian", "without batch statistics"),
        ({"architecture": "filter_kernel"}, "code", "needs images"),
        ({"architecture": "mlp", "clip_linf": 1.0}, "code", "--clip-linf"),
        ({"architecture": "mlp", "dataset": "random"}, "code", "draws images"),
        ({"architecture": "mlp", "dataset": "mixed-random"}, "code", "draws images"),
    ],
)
def test_what_no_code_can_name_is_refused(given: dict[str, Any], predictor: Any, says: str):
    recipe = make_recipe(make_coded_recipe({"source": "digits", **given}))
    with pytest.raises(UsageError, match=says):
        require_codable(recipe, CodedSettings(predictor=predictor))
