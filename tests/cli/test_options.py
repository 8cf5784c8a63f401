"""Options: each in a group, with the words that the library takes."""

from pathlib import Path
from typing import get_args

import pytest
from command_lines import commands

from dlgen_cli.architectures.dense import Normalization
from dlgen_cli.cli.options import CheckpointOptions
from dlgen_cli.implicit.optimizers import OPTIMIZERS
from dlgen_cli.training.coded.settings import Predictor
from dlgen_cli.training.posterior.settings import Spread
from dlgen_cli.training.recipe import Optimizer, Precision, Schedule, Stem
from dlgen_cli.training.regimes import Adversary


@pytest.mark.parametrize("path", [path for path, one in commands() if one.params])
def test_every_option_stands_in_a_group(path):
    without = {
        one.name
        for one in dict(commands())[path].params
        if one.param_type_name == "option"
        and not (getattr(one, "rich_help_panel", None) or one.hidden)
    }
    assert without <= {"version", "install_completion", "show_completion", "help"}


def test_the_words_of_an_option_are_those_of_the_library():
    library = {
        "stem": get_args(Stem),
        "optimizer": get_args(Optimizer),
        "schedule": get_args(Schedule),
        "precision": get_args(Precision),
        "adversary": get_args(Adversary),
        "spread": get_args(Spread),
        "predictor": get_args(Predictor),
        "normalize": get_args(Normalization),
    }
    train = dict(commands())["train"]
    linear = dict(commands())["implicit linear"]
    for command, words in ((train, library), (linear, {"optimizer": OPTIMIZERS})):
        for one in command.params:
            if one.name in words:
                offered = [item.value for item in one.shell_complete(None, "")]
                assert sorted(offered) == sorted(words[one.name]), one.name


def test_ctrl_c_says_whether_measurements_are_kept():
    assert "are kept" in CheckpointOptions(checkpoint=Path("a")).kept()
    assert "nothing was kept" in CheckpointOptions(checkpoint=Path("a"), no_cache=True).kept()
