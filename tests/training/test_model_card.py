"""The card of a run says what its config says."""

import copy
import json

import pytest

from dlgen_cli.training.model_card import model_card


@pytest.fixture
def config(digits_mlp):
    return json.loads((digits_mlp / "config.json").read_text())


def test_it_tells_errors_counts_and_settings(config):
    card = model_card(config)
    assert card.startswith(f"# {config['architecture']} on {config['source']}")
    assert f"{config['counts']['parameters']:,} parameters" in card
    assert f"{config['train_error']:.4f}" in card
    assert f"{config['test_error']:.4f}" in card
    assert f"Seed: {config['seed']}." in card
    assert card == model_card(copy.deepcopy(config))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"holdout_error": 0.125}, "| holdout (real, set aside first) | 0 | 0.1250 |"),
        ({"clip_linf": 0.4}, "every parameter kept within ±0.4"),
        ({"dataset": "mixed-adversarial", "adversary": "shift"}, "`y + 1` modulo"),
        (
            {"coded": {"predictor": "code", "dim": 1000}, "objective": "coded"},
            "the risk bound of a quantised network over 1,000 coordinates",
        ),
        ({"computation": {"precision": "bfloat16", "processes": 2}}, "(precision bfloat16, pro"),
    ],
)
def test_it_tells_what_is_not_usual(change, says, config):
    assert says not in model_card({**config, "holdout_error": None, "computation": {}})
    changed = {**config, **change}
    changed["counts"] = {**config["counts"], "holdout": 0}
    assert says in model_card(changed)


def test_a_falling_step_size_is_told(config):
    config["optimizer"]["schedule"] = "linear"
    assert "falling linearly to 0" in model_card(config)
